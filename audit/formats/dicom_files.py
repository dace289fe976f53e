"""Which files of a folder are DICOM images, and which series they belong to."""

from pathlib import Path

from audit.errors import UnusableFile
from audit.formats.raster import PARSER_ERRORS


def is_dicom(path: Path) -> bool:
    """Whether a file has the DICOM preamble, or the suffix of DICOM files."""
    if path.name.upper() == "DICOMDIR":
        return False
    if path.suffix.lower() in (".dcm", ".ima"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def series_in(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Files of each series directly in a folder, by series UID; unreadable ones under ``""``."""
    import pydicom

    found: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_dicom(p)):
        try:
            head = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            uid = str(head.get("SeriesInstanceUID", "")) if "SOPClassUID" in head else ""
        except PARSER_ERRORS:
            uid = ""
        found.setdefault(uid, []).append(path)
    return {uid: tuple(paths) for uid, paths in found.items()}


def series_files(folder: Path) -> tuple[Path, ...]:
    """Files of the only series in a folder.

    Raises:
        UnusableFile: It holds none, or several.
    """
    series = [paths for uid, paths in series_in(folder).items() if uid]
    if len(series) != 1:
        raise UnusableFile(
            f"the folder holds {len(series)} DICOM series", "one", "Name the folder of each series"
        )
    return series[0]
