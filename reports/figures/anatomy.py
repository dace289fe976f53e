"""Anatomy: every organ against real at a glance, then volumes, shares and intensities."""

from collections.abc import Iterator

from reports.drawings.distributions import distribution_pictures
from reports.drawings.forest import forest_picture
from reports.drawings.series import series_pictures
from reports.figure import Picture
from reports.figures.cardiac import KNOWN
from reports.material import Material
from reports.words import rank

PREFIXES = ("anatomy.volume_ml.", "anatomy.share_percent.", "anatomy.intensity.")


def draw(material: Material) -> Iterator[Picture]:
    """Forest plot and densities."""
    done = sorted((f for f in material.findings("anatomy") if f.status == "ok"), key=rank)
    forest = forest_picture(done, key="anatomy-forest", title="Against real, all at a glance")
    if forest is not None:
        yield forest
    for prefix in PREFIXES:
        columns = material.case_columns(prefix)
        if columns:
            yield from distribution_pictures(prefix.strip("."), material, columns)
    yield from series_pictures(done, skip=KNOWN)
