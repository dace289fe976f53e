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
    try:
        found = _found(Path(path), allow_outside=allow_outside)
    except OSError as error:
        raise BadInput(
            f"'{path}' cannot be read ({error.strerror})", "a readable folder or manifest"
        ) from error
    if found is None:
        raise BadInput(
            f"'{path}' is not a cohort",
            "a folder of NIfTI, MetaImage, NRRD or DICOM files, an ACDC or M&Ms folder, or a CSV",
        )
    if not found[1].rows:
        raise BadInput(f"'{path}' lists no volumes", "at least one")
    return found


def _found(place: Path, *, allow_outside: bool) -> tuple[str, Listing] | None:
    if not place.exists():
        raise BadInput(f"there is nothing at '{place}'", "a folder of volumes or a CSV manifest")
    for layout in sorted((LAYOUTS.load(name) for name in LAYOUTS.names()), key=_rank):
        if layout.recognizes(place):
            return layout.name, layout.find(place, allow_outside=allow_outside)
    return None


def _rank(layout: Layout) -> int:
    return layout.rank
