"""Figures by question: each module draws for the section of its name; the rest is drawn plainly."""

import importlib
import pkgutil
from collections.abc import Iterator

from reports.drawings.distributions import distribution_pictures
from reports.drawings.series import series_pictures
from reports.figure import Picture
from reports.material import Material
from reports.selfcheck import matrix_picture, shipped_matrix


def pictures_of(section: str, material: Material) -> list[Picture]:
    """All figures of a section: its own first, then what the self-check says of its metrics."""
    names = {module.name for module in pkgutil.iter_modules(__path__)}
    own: list[Picture] = []
    if section in names:
        own = list(importlib.import_module(f"reports.figures.{section}").draw(material))
    if not own:
        own = list(_plain(section, material))
    if not material.findings(section):
        return own
    rows = [r for r in shipped_matrix() if r["population"] in material.populations]
    matrix = matrix_picture(rows, section)
    return own if matrix is None else [*own, matrix]


def _plain(section: str, material: Material) -> Iterator[Picture]:
    """Per-case values and series of a section that has no figures of its own."""
    yield from distribution_pictures(section, material)
    yield from series_pictures(material.findings(section))
