"""Diversity: the same drawings as fidelity, on the metrics of coverage and variety."""

from collections.abc import Iterator

from reports.figure import Picture
from reports.figures.fidelity import draw_section
from reports.material import Material


def draw(material: Material) -> Iterator[Picture]:
    """Forest plot, permutation and value distributions."""
    yield from draw_section("diversity", material)
