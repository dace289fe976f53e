"""Find a generator by name: a file under ``models``, a package's entry point, or a Python path."""

import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

from audit.errors import BadInput, did_you_mean
from generators.protocol import GENERATORS, VolumeGenerator

ENTRY_POINTS = "voxaudit.generators.v1"


def generator_class(kind: str) -> Any:
    """Class of a generator.

    Args:
        kind: ``voldit``, ``ldm``, ...; the name of an entry point in ``voxaudit.generators.v1``;
            or ``python:package.module:Class``.

    Raises:
        BadInput: No such generator, or it does not load.
    """
    if kind.startswith("python:"):
        return _from_path(kind.removeprefix("python:"))
    if kind in GENERATORS.names():
        return GENERATORS.load(kind)
    entries = {e.name: e for e in metadata.entry_points(group=ENTRY_POINTS)}
    if kind not in entries:
        raise BadInput(
            f"no generator '{kind}'", did_you_mean(kind, [*GENERATORS.names(), *entries])
        )
    return entries[kind].load()


def choose(
    kind: str,
    *,
    preset: str | None = None,
    params: dict[str, Any] | None = None,
    path: str | None = None,
) -> VolumeGenerator:
    """A generator that is ready to ``fit``, or, with a path, to ``sample``.

    Args:
        kind: As in ``generator_class``.
        preset: Recipe by name, or a recipe's YAML file.
        params: Single keys of the recipe to change; of a user's own class, its arguments.
        path: Folder that ``save`` wrote; for ``folder``, the volumes.

    Raises:
        BadInput: No such generator or preset, or keys that do not exist.
    """
    model = generator_class(kind)
    if path is not None:
        loaded: VolumeGenerator = model.load(Path(path))
        return loaded
    from generators.latent_generator import LatentGenerator
    from generators.recipe import Recipe, merged, parse, recipe_tree

    if not issubclass(model, LatentGenerator):
        return model(**(params or {}))

    tree = merged(recipe_tree(preset or f"{kind}-tiny"), params or {})
    return model(parse(Recipe, tree, "the recipe"))


def _from_path(path: str) -> Any:
    module, colon, name = path.partition(":")
    if not colon:
        raise BadInput(f"'python:{path}' names no class", "python:package.module:Class")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BadInput(
            f"cannot load {path} ({error})", "a class that can be imported", "Check the path"
        ) from error
