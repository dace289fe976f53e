"""Find a generator by name, preset or folder."""

import json
from pathlib import Path
from typing import Any

from audit.errors import BadInput
from generators.protocol import GENERATORS, VolumeGenerator


def create(name: str, **options: Any) -> VolumeGenerator:
    """An untrained generator, by family (``replay``) or by preset (``ldm-tiny``).

    Raises:
        BadInput: There is none of this name.
    """
    from generators.recipe import read_recipe

    if name in GENERATORS.names():
        return GENERATORS.load(name)(**options)
    recipe = read_recipe(name)
    return GENERATORS.load(recipe.family)(recipe, **options)


def load(folder: str | Path) -> VolumeGenerator:
    """The generator that ``save`` or ``voxaudit train`` left in a folder.

    Raises:
        BadInput: There is none.
    """
    place = Path(folder)
    file = place / "generator.json"
    if not file.is_file():
        raise BadInput(
            f"no generator.json in '{place.name}'",
            "a folder that `voxaudit train` finished",
            "Train first, or repeat the command to finish an interrupted training",
        )
    try:
        family = json.loads(file.read_text(encoding="utf-8"))["family"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput("generator.json is damaged", "a mapping with 'family'") from error
    return GENERATORS.load(str(family)).load(place)
