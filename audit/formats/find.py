"""From a path to the format that reads it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from audit.errors import UnusableFile
from audit.formats.dicom_files import is_dicom
from audit.formats.raster import Format, Raster
from audit.registry import Registry

FORMATS = Registry("audit.formats", "FORMAT")


def format_of(path: Path) -> Format | None:
    """The format that reads a file, by its suffix or by DICOM's preamble; None if none does."""
    name = path.name.lower()
    fits = [(len(s), f.name, f) for f in _formats() for s in f.suffixes if name.endswith(s)]
    if fits:
        return max(fits)[2]
    return FORMATS.load("dicom") if path.is_file() and is_dicom(path) else None


def known_suffixes() -> tuple[str, ...]:
    """All file name endings that can be read."""
    return tuple(s for f in _formats() for s in f.suffixes)


def strip_suffix(name: str) -> str:
    """File name without the ending that its format knows, such as ``.nii.gz``."""
    fits = [s for s in known_suffixes() if name.lower().endswith(s)]
    return name[: -len(max(fits, key=len))] if fits else name


def read_raster(paths: Sequence[Path]) -> Raster:
    """Read one image from its file, or from the files of its DICOM series.

    Raises:
        UnusableFile: No format reads it, or it is damaged.
    """
    return _known(paths[0]).read(paths)


def files_behind(paths: Sequence[Path]) -> Sequence[Path]:
    """All files whose bytes make up the image.

    Raises:
        UnusableFile: No format reads it, or a part is missing.
    """
    return _known(paths[0]).files(paths)


def _known(path: Path) -> Format:
    found = format_of(path)
    if found is None:
        raise UnusableFile(
            f"the file name ends in '{path.suffix}'",
            f"one of {', '.join(known_suffixes())}, or a folder with a DICOM series",
            "Convert it, for example to NIfTI",
        )
    return found


@cache
def _formats() -> tuple[Format, ...]:
    return tuple(FORMATS.load(name) for name in FORMATS.names())
