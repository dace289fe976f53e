"""DICOM series: one image from all its files, ordered by geometry and trigger time.

Classic (one slice a file) and enhanced multi-frame objects both become planes: pixels with a
position, a direction and a time. Reference: DICOM PS3.3, C.7.6.2 (plane), C.7.6.16 (multi-frame).
"""

import warnings
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import UnusableFile
from audit.formats.dicom_plane import Plane, planes_of
from audit.formats.raster import Affine, Format, Raster, parsing

POSITION_MM = 0.01
"""Positions closer than this are one slice."""
GAP_SHARE = 0.05
"""How far a gap between slices may differ from the median gap."""
TILT_DEGREES = 1.0
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(paths: Sequence[Path]) -> Raster:
    """Read the files of one series, in any order.

    Raises:
        UnusableFile: They are damaged, or do not make one image: mixed grids, a missing slice, a
            tilted gantry, images at one place that nothing orders in time.
    """
    import pydicom
    from pydicom.errors import BytesLengthException

    with parsing("the files of one DICOM series", BytesLengthException), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every odd but harmless value
        planes = [
            plane for path in paths for plane in planes_of(pydicom.dcmread(path, force=True), path)
        ]
        return _assembled(planes)


def _assembled(planes: Sequence[Plane]) -> Raster:
    first = planes[0]
    if any(plane.pixels.shape != first.pixels.shape for plane in planes):
        raise UnusableFile("the series mixes images of several sizes", "one", "Split the series")
    if first.position is None:
        return _without_geometry(planes)
    if any(not plane.lies_like(first) for plane in planes):
        raise UnusableFile(
            "the series mixes several orientations or pixel sizes", "one", "Split the series"
        )
    stacks = _slices(planes)
    step, known = _slice_step(stacks, first)
    ordered, frame_ms = _in_time(stacks)
    array = np.stack([np.stack([p.pixels for p in slice_], axis=-1) for slice_ in ordered], axis=-2)
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.pixel_mm[1]
    affine[:3, 1] = first.along_column * first.pixel_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = stacks[0][0].position
    return _raster(array, LPS_TO_RAS @ affine, first, known=known, frame_ms=frame_ms)


def _raster(
    array: npt.NDArray[Any], affine: Affine, first: Plane, *, known: bool, frame_ms: float | None
) -> Raster:
    """From (y, x, z, t) to a raster."""
    return Raster(
        array=array.transpose(1, 0, 2, 3)[..., None],
        affine=affine,
        spacing_known=known,
        frame_ms=frame_ms if array.shape[3] > 1 else None,
        stored_dtype=first.stored_dtype,
    )


def _without_geometry(planes: Sequence[Plane]) -> Raster:
    """A single image, or the frames of one clip, of which no position is stated."""
    times = [plane.time_ms for plane in planes]
    if len(planes) > 1 and (None in times or len(set(times)) < len(times)):
        raise UnusableFile(
            f"{len(planes)} images state neither position nor time",
            "a position in each",
            "Export them with their geometry",
        )
    ordered = sorted(planes, key=lambda plane: plane.time_ms or 0.0)
    array = np.stack([plane.pixels for plane in ordered], axis=-1)[:, :, None]
    return _raster(array, np.eye(4), planes[0], known=False, frame_ms=_period([ordered]))


def _slices(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes by position along the normal, ascending."""
    stacks: list[list[Plane]] = []
    for plane in sorted(planes, key=lambda p: p.depth):
        if stacks and plane.depth - stacks[-1][0].depth < POSITION_MM:
            stacks[-1].append(plane)
        else:
            stacks.append([plane])
    counts = {len(stack) for stack in stacks}
    if len(counts) > 1:
        raise UnusableFile(
            f"slices of the series hold {min(counts)} to {max(counts)} images",
            "as many at every position",
            "Look for missing files",
        )
    return stacks


def _slice_step(stacks: Sequence[Sequence[Plane]], first: Plane) -> tuple[npt.NDArray[Any], bool]:
    """Vector from slice to slice in LPS mm, and whether it is known."""
    if len(stacks) == 1:
        return first.normal * (first.thickness_mm or 1.0), first.thickness_mm is not None
    gaps = np.diff([stack[0].depth for stack in stacks])
    usual = float(np.median(gaps))
    worst = float(gaps[np.abs(gaps - usual).argmax()])
    if abs(worst - usual) > GAP_SHARE * usual:
        raise UnusableFile(
            f"slices lie {worst:.2f} mm apart in one place and {usual:.2f} mm elsewhere",
            "even gaps",
            "Look for missing or extra files",
        )
    start, end = stacks[0][0].position, stacks[-1][0].position
    assert start is not None
    assert end is not None
    step = (end - start) / (len(stacks) - 1)
    tilt = np.degrees(np.arccos(min(1.0, float(step @ first.normal) / float(np.linalg.norm(step)))))
    if tilt > TILT_DEGREES:
        raise UnusableFile(
            f"the slices are sheared by {tilt:.1f} degrees (tilted gantry)",
            "slices stacked along their normal",
            "Resample the series first",
        )
    return step, True


def _in_time(stacks: Sequence[Sequence[Plane]]) -> tuple[list[list[Plane]], float | None]:
    """Order each slice's images by time, and the frame period in ms."""
    if len(stacks[0]) == 1:
        return [list(stack) for stack in stacks], None
    for key in ("time_ms", "temporal_index"):
        of = attrgetter(key)
        values = [[of(plane) for plane in stack] for stack in stacks]
        if all(None not in row and len(set(row)) == len(row) for row in values):
            ordered = [sorted(stack, key=of) for stack in stacks]
            return ordered, _period(ordered) if key == "time_ms" else None
    raise UnusableFile(
        f"{len(stacks[0])} images lie at one position and nothing orders them in time",
        "one, or trigger times",
        "Split the series by echo or reconstruction",
    )


def _period(ordered: Sequence[Sequence[Plane]]) -> float | None:
    gaps = [np.diff([p.time_ms for p in stack]) for stack in ordered]
    joined = np.concatenate(gaps)
    period = round(float(np.median(joined)), 3) if joined.size else 0.0
    return period if period > 0 else None


FORMAT = Format(name="DICOM", suffixes=(".dcm", ".ima"), read=read)
