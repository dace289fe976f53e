"""Figures by question: each module draws for the section of its name; the rest is drawn plainly."""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

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
    matrix = _self_check(section, material.populations)
    return own if matrix is None else [*own, matrix]


@cache
def _self_check(section: str, populations: tuple[str, ...]) -> Picture | None:
    """The same in every report of this version: drawn once in a process."""
    rows = [r for r in shipped_matrix() if r["population"] in populations]
    return matrix_picture(rows, section)


def _plain(section: str, material: Material) -> Iterator[Picture]:
    """Per-case values and series of a section that has no figures of its own."""
    yield from distribution_pictures(section, material)
    yield from series_pictures(material.findings(section))
