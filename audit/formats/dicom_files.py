"""Which files of a folder are DICOM images, and which series they belong to."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.errors import UnusableFile
from audit.formats.raster import PARSER_ERRORS

HEAD_TAGS = (
    *("SOPClassUID", "SeriesInstanceUID", "FrameOfReferenceUID", "TriggerTime"),
    *("ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns"),
)


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


def series_in(folder: Path) -> list[tuple[Path, ...]]:
    """Files of each series directly in a folder; a file that cannot be read is one by itself.

    Slices of a cine that the scanner put into series of their own are one.
    """
    found: dict[str, list[_Head]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_dicom(p)):
        head = _head(path)
        found.setdefault(head.series or str(path), []).append(head)
    stacks: dict[object, list[list[_Head]]] = {}
    for uid, heads in sorted(found.items()):
        stacks.setdefault(_cine_slice(heads) or uid, []).append(heads)
    series: list[tuple[Path, ...]] = []
    for parts in stacks.values():
        repeated = len({heads[0].position for heads in parts}) < len(parts)
        groups = parts if repeated else [[head for heads in parts for head in heads]]
        series += [tuple(head.path for head in heads) for heads in groups]
    return series


def series_files(folder: Path) -> tuple[Path, ...]:
    """Files of the only series in a folder.

    Raises:
        UnusableFile: It holds none, or several.
    """
    series = series_in(folder)
    if len(series) != 1:
        raise UnusableFile(
            f"the folder holds {len(series)} DICOM series", "one", "Name the folder of each series"
        )
    return series[0]


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What decides on the series of a file."""

    path: Path
    series: str = ""
    frame_of_reference: str = ""
    position: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    size: tuple[int, ...] = ()
    trigger_ms: float | None = None


def _head(path: Path) -> _Head:
    import pydicom
    from pydicom.errors import BytesLengthException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of every odd but harmless value
            data = pydicom.dcmread(
                path, stop_before_pixels=True, force=True, specific_tags=list(HEAD_TAGS)
            )
            trigger = data.get("TriggerTime")
            return _Head(
                path=path,
                series=str(data.get("SeriesInstanceUID", "")) if "SOPClassUID" in data else "",
                frame_of_reference=str(data.get("FrameOfReferenceUID", "")),
                position=tuple(float(v) for v in data.get("ImagePositionPatient") or ()),
                orientation=tuple(
                    round(float(v), 3) for v in data.get("ImageOrientationPatient") or ()
                ),
                size=(int(data.get("Rows", 0)), int(data.get("Columns", 0))),
                trigger_ms=None if trigger is None else float(trigger),
            )
    except (*PARSER_ERRORS, BytesLengthException):
        return _Head(path=path)


def _cine_slice(heads: Sequence[_Head]) -> tuple[object, ...] | None:
    """What all slices of one cine stack share; None for a series that is not one such slice."""
    first = heads[0]
    times = {head.trigger_ms for head in heads}
    alone = len({(h.position, h.orientation, h.size) for h in heads}) == 1
    if not alone or not first.frame_of_reference or None in times or len(times) < 2:
        return None
    if len(times) != len(heads):
        return None
    return first.frame_of_reference, first.orientation, first.size, len(heads)
