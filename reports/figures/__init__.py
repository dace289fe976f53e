"""Figures by question: each module draws for the section of its name, ``common`` for any."""

import importlib
import pkgutil

from reports.figure import Picture
from reports.material import Material
from reports.selfcheck import matrix_picture, shipped_matrix


def pictures_of(section: str, material: Material) -> list[Picture]:
    """All figures of a section: its own first, then series that no figure knew."""
    from reports.figures import common

    names = {module.name for module in pkgutil.iter_modules(__path__)}
    own: list[Picture] = []
    if section in names - {"common"}:
        own = list(importlib.import_module(f"reports.figures.{section}").draw(material))
    if not own:
        own = list(common.draw(section, material))
    matrix = matrix_picture(shipped_matrix(), section) if material.findings(section) else None
    return own if matrix is None else [*own, matrix]
