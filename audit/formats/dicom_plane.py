"""Planes of a DICOM object: pixels with position, direction and time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import UnusableFile
from audit.formats.raster import PARSER_ERRORS, quiet_stderr

Vector = npt.NDArray[np.float64]
DIRECTION_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One slice at one time.

    Attributes:
        pixels: Rescaled values (rows, columns).
        position: Center of the first pixel in LPS mm; None where the object states none.
        along_row: Unit vector of growing column index.
        along_column: Unit vector of growing row index.
        pixel_mm: Distance of rows and of columns.
        thickness_mm: Spacing between slices, or else their thickness.
        time_ms: Trigger time, or time within a clip.
        temporal_index: Ordinal in time.
        stored_dtype: Type on disk.
    """

    pixels: npt.NDArray[np.float32]
    position: Vector | None
    along_row: Vector
    along_column: Vector
    pixel_mm: tuple[float, float]
    thickness_mm: float | None
    time_ms: float | None
    temporal_index: int | None
    stored_dtype: str

    @property
    def normal(self) -> Vector:
        """Unit vector through the plane."""
        return np.cross(self.along_row, self.along_column)

    @property
    def depth(self) -> float:
        """Position along the normal in mm."""
        return 0.0 if self.position is None else float(self.position @ self.normal)

    def lies_like(self, other: "Plane") -> bool:
        """Whether both have one orientation and pixel size."""
        return (
            self.position is not None
            and np.allclose(self.along_row, other.along_row, atol=DIRECTION_TOLERANCE)
            and np.allclose(self.along_column, other.along_column, atol=DIRECTION_TOLERANCE)
            and np.allclose(self.pixel_mm, other.pixel_mm, rtol=DIRECTION_TOLERANCE)
        )


def planes_of(dataset: Any, path: Path) -> Iterator[Plane]:
    """Planes of one file, classic or multi-frame.

    Raises:
        UnusableFile: It holds no gray image.
    """
    if "Rows" not in dataset or "PixelData" not in dataset:
        raise UnusableFile("the DICOM object holds no image", "a CT or MR image", "Leave it out")
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise UnusableFile("the DICOM image is in color", "gray values", "Leave it out")
    stored, rescaled = _pixels(dataset, path)
    for frame, pixels in enumerate(stored.reshape(-1, *stored.shape[-2:])):
        values = pixels.astype(np.float32)
        if not rescaled:
            slope = float(_value(dataset, frame, "PixelValueTransformation", "RescaleSlope", 1))
            shift = float(_value(dataset, frame, "PixelValueTransformation", "RescaleIntercept", 0))
            values = values * np.float32(slope) + np.float32(shift)
        yield _plane(dataset, frame, values)


def _plane(dataset: Any, frame: int, pixels: npt.NDArray[np.float32]) -> Plane:
    position = _numbers(_value(dataset, frame, "PlanePosition", "ImagePositionPatient"), 3)
    direction = _numbers(_value(dataset, frame, "PlaneOrientation", "ImageOrientationPatient"), 6)
    spacing = _numbers(_value(dataset, frame, "PixelMeasures", "PixelSpacing"), 2)
    if position is None or direction is None or spacing is None:
        position, direction, spacing = None, np.array([1.0, 0, 0, 0, 1, 0]), np.ones(2)
    if min(spacing) <= 0:
        raise UnusableFile(f"the pixel spacing is {spacing.tolist()} mm", "positive numbers")
    rows = np.reshape(direction, (2, 3))
    lengths = np.linalg.norm(rows, axis=1)
    if not np.allclose(lengths, 1, atol=0.01) or abs(float(rows[0] @ rows[1])) > 0.01:
        raise UnusableFile("the image orientation is no pair of orthogonal unit vectors", "one")
    between = _value(dataset, frame, "PixelMeasures", "SpacingBetweenSlices")
    thick = between or _value(dataset, frame, "PixelMeasures", "SliceThickness")
    signed = np.dtype(np.int8 if int(dataset.get("PixelRepresentation", 0)) else np.uint8)
    return Plane(
        pixels=pixels,
        position=position,
        along_row=rows[0] / lengths[0],
        along_column=rows[1] / lengths[1],
        pixel_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=abs(float(thick)) if thick else None,
        time_ms=_time_ms(dataset, frame),
        temporal_index=_temporal_index(dataset, frame),
        stored_dtype=f"{signed.name.rstrip('8')}{int(dataset.get('BitsAllocated', 16))}",
    )


def _pixels(dataset: Any, path: Path) -> tuple[npt.NDArray[Any], bool]:
    """Stored pixels (..., rows, columns), and whether they are rescaled already."""
    try:
        return np.asarray(dataset.pixel_array), False
    except (NotImplementedError, RuntimeError, AttributeError):
        import SimpleITK as sitk  # noqa: N813

        # GDCM inside SimpleITK decodes JPEG lossless and JPEG-LS, and applies the rescaling.
        sitk.ProcessObject.GlobalWarningDisplayOff()
        with quiet_stderr():
            return sitk.GetArrayFromImage(sitk.ReadImage(str(path))), True


def _value(dataset: Any, frame: int, group: str, name: str, default: Any = None) -> Any:
    """A value of one frame: from its functional group, the shared one, or the object itself."""
    for groups, index in (
        (dataset.get("PerFrameFunctionalGroupsSequence"), frame),
        (dataset.get("SharedFunctionalGroupsSequence"), 0),
    ):
        if groups and index < len(groups):
            inner = groups[index].get(f"{group}Sequence")
            value = inner[0].get(name) if inner else None
            if value is not None:
                return value
    value = dataset.get(name)
    return default if value is None or value == "" else value


def _numbers(value: Sequence[Any] | None, n: int) -> Vector | None:
    try:
        numbers = np.array([float(v) for v in value or ()])
    except PARSER_ERRORS:
        return None
    return numbers if len(numbers) == n and np.isfinite(numbers).all() else None


def _time_ms(dataset: Any, frame: int) -> float | None:
    time = _value(dataset, frame, "CardiacSynchronization", "NominalCardiacTriggerDelayTime")
    time = _value(dataset, frame, "", "TriggerTime") if time is None else time
    if time is None and dataset.get("FrameTime"):
        time = frame * float(dataset.FrameTime)
    return None if time is None else float(time)


def _temporal_index(dataset: Any, frame: int) -> int | None:
    index = _value(dataset, frame, "FrameContent", "TemporalPositionIndex")
    index = _value(dataset, frame, "", "TemporalPositionIdentifier") if index is None else index
    return None if index is None else int(index)
