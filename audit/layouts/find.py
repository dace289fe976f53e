"""From a path to the rows of a cohort, whatever its layout."""

from pathlib import Path

from audit.errors import BadInput
from audit.layouts.row import Layout, Listing
from audit.registry import Registry

LAYOUTS = Registry("audit.layouts", "LAYOUT")


def find_rows(path: str | Path, *, allow_outside: bool = False) -> tuple[str, Listing]:
    """Name of the layout of a path, and its rows.

    Raises:
        BadInput: There is nothing there, or nothing that can be read.
    """
    place = Path(path)
    if not place.exists():
        raise BadInput(f"there is nothing at '{place}'", "a folder of volumes or a CSV manifest")
    for layout in _by_rank():
        if layout.recognizes(place):
            listing = layout.find(place, allow_outside=allow_outside)
            if not listing.rows:
                raise BadInput(f"'{place}' lists no volumes", "at least one")
            return layout.name, listing
    raise BadInput(
        f"'{place}' is not a cohort",
        "a folder of NIfTI, MetaImage, NRRD or DICOM files, an ACDC or M&Ms folder, or a CSV",
    )


def _by_rank() -> list[Layout]:
    return sorted((LAYOUTS.load(name) for name in LAYOUTS.names()), key=lambda layout: layout.rank)
