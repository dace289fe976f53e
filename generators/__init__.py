"""Generators: train, sample, save and load. Heavy modules load when first used.

>>> import generators
>>> "ldm-tiny" in generators.preset_names()
True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generators.library import create, load
    from generators.monai_bundle import load_monai_bundle
    from generators.official import load_official
    from generators.protocol import GENERATORS, VolumeGenerator
    from generators.recipe import preset_names, read_recipe
    from generators.sampling import sample_to_folder

_HOME = {
    "GENERATORS": "generators.protocol",
    "VolumeGenerator": "generators.protocol",
    "create": "generators.library",
    "load": "generators.library",
    "load_monai_bundle": "generators.monai_bundle",
    "load_official": "generators.official",
    "preset_names": "generators.recipe",
    "read_recipe": "generators.recipe",
    "sample_to_folder": "generators.sampling",
}

__all__ = [
    "GENERATORS",
    "VolumeGenerator",
    "create",
    "load",
    "load_monai_bundle",
    "load_official",
    "preset_names",
    "read_recipe",
    "sample_to_folder",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'generators' has no attribute '{name}'")
