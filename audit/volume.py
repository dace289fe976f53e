"""Volume and LabelMap: what one image is in memory, and how it is read and written.

Arrays are always ``c t z y x``: a 3D image has t = 1, a 2D image z = 1. Orientation is RAS:
x grows to the patient's right, y to anterior, z to superior. Oblique stacks of thick slices
(short-axis cine) keep their slices along z: see ``audit.formats.canonical``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.errors import BadInput, UnusableFile
from audit.formats.canonical import to_ras
from audit.formats.dicom_files import series_files
from audit.formats.find import read_raster
from audit.formats.raster import Affine, Raster, spacing_of

Spacing = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One image, 2D to 4D.

    Attributes:
        array: Intensities, float32 of shape (c, t, z, y, x); HU for CT.
        spacing_mm: Voxel size along (z, y, x), in mm.
        spacing_known: False where the file states no geometry (identity affine): lengths and
            volumes in mm and mL are then not computable, ratios are.
        frame_ms: Time between frames in ms; None where unknown or where t = 1.
        affine: 4×4 voxel (x, y, z) to RAS mm; None stands for spacing on the diagonal.
    """

    array: npt.NDArray[np.float32]
    spacing_mm: Spacing
    spacing_known: bool = True
    frame_ms: float | None = None
    affine: npt.NDArray[np.float64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.array.ndim != 5 or self.array.dtype != np.float32:
            raise BadInput(
                f"a volume got {self.array.dtype} of shape {self.array.shape}",
                "float32 of shape (c, t, z, y, x)",
            )
        if len(self.spacing_mm) != 3 or not all(s > 0 for s in self.spacing_mm):
            raise BadInput(
                f"spacing is {self.spacing_mm} mm",
                "three positive numbers (z, y, x)",
                "Correct the header or give spacing_mm in the manifest",
            )

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes (c, t, z, y, x)."""
        c, t, z, y, x = self.array.shape
        return c, t, z, y, x

    @property
    def frames(self) -> int:
        """Number of time frames."""
        return self.array.shape[1]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in mL."""
        return float(np.prod(self.spacing_mm)) / 1000


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """Named structures on the grid of an image.

    Attributes:
        array: Integer codes, int16 of shape (t, z, y, x); 0 is background.
        names: Code of each structure, such as ``{"lv": 3, "myocardium": 2, "rv": 1}``. Standard
            names: lv, myocardium, rv, lung_left, lung_right, heart, aorta, nodule, body.
        spacing_mm: Voxel size along (z, y, x), in mm.
        spacing_known: As in ``Volume``.
        frame_ms: As in ``Volume``.
        frames: Frames that carry labels; None means all. An unlabeled frame is not an empty one.
    """

    array: npt.NDArray[np.int16]
    names: Mapping[str, int]
    spacing_mm: Spacing
    spacing_known: bool = True
    frame_ms: float | None = None
    frames: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.dtype != np.int16:
            raise BadInput(
                f"a label map got {self.array.dtype} of shape {self.array.shape}",
                "int16 of shape (t, z, y, x)",
            )

    @property
    def labeled_frames(self) -> tuple[int, ...]:
        """Indices of the frames that carry labels."""
        return self.frames if self.frames is not None else tuple(range(self.array.shape[0]))

    def mask(self, name: str) -> npt.NDArray[np.bool_]:
        """Voxels (t, z, y, x) of one structure.

        Raises:
            BadInput: The map has no such structure.
        """
        if name not in self.names:
            raise BadInput(f"label map has no '{name}'", f"one of {', '.join(self.names)}")
        return self.array == self.names[name]


def read_volume(
    path: str | Path | Sequence[Path],
    *,
    spacing_mm: Spacing | None = None,
    frame_ms: float | None = None,
) -> Volume:
    """Read an image: NIfTI, MetaImage, NRRD, or a DICOM series.

    Args:
        path: A file, a folder that holds one DICOM series, or the files of one series.
        spacing_mm: Voxel size along the file's own (x, y, z), where the header is wrong or silent.
        frame_ms: Frame period, likewise.

    Raises:
        UnusableFile: It cannot be read, or holds non-finite voxels, one value only, or no valid
            geometry.
    """
    raster = read_image_raster(path, spacing_mm=spacing_mm, frame_ms=frame_ms)
    return volume_of(raster)


def read_image_raster(
    path: str | Path | Sequence[Path],
    *,
    spacing_mm: Spacing | None = None,
    frame_ms: float | None = None,
) -> Raster:
    """As ``read_volume``, but in the file's own order and type."""
    raster = read_raster(_files(path))
    _refuse_bad_geometry(raster.affine)
    if spacing_mm is not None:
        raster = _with_spacing(raster, spacing_mm)
    return raster if frame_ms is None else replace(raster, frame_ms=frame_ms)


def volume_of(raster: Raster) -> Volume:
    """Turn a raster to RAS and check its voxels.

    Raises:
        UnusableFile: It holds non-finite voxels or one value only.
    """
    turned = to_ras(raster)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(turned.array.transpose(4, 3, 2, 1, 0), dtype=np.float32)
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise UnusableFile(
            f"the image has {bad} voxels that are NaN or infinite", "none", "Fill or crop them"
        )
    if array.min() == array.max():
        raise UnusableFile(
            f"every voxel of the image is {array.flat[0]:g}", "more than one value", "Remove it"
        )
    return Volume(
        array=array,
        spacing_mm=spacing_zyx(turned.affine),
        spacing_known=turned.spacing_known,
        frame_ms=turned.frame_ms if array.shape[1] > 1 else None,
        affine=turned.affine,
    )


def write_volume(volume: Volume, path: str | Path) -> None:
    """Write an image as NIfTI, atomically and reproducibly.

    Integers stay integers on disk; unknown spacing is written as the identity affine, known
    spacing never is.

    Raises:
        BadInput: The name does not end in .nii or .nii.gz.
    """
    array = volume.array
    whole = bool(np.all(array == np.round(array)) and np.abs(array).max() < 2**15)
    stored = array.astype(np.int16) if whole else array
    _write(stored, volume, Path(path))


def write_label_map(labels: LabelMap, path: str | Path, *, affine: Affine | None = None) -> None:
    """Write codes as NIfTI; names go to ``labels.json``, labeled frames to the manifest.

    Args:
        labels: The map.
        path: Ends in .nii or .nii.gz.
        affine: That of the image it belongs to.
    """
    frame = Volume(
        array=np.zeros((1, 1, 1, 1, 1), np.float32),
        spacing_mm=labels.spacing_mm,
        spacing_known=labels.spacing_known,
        frame_ms=labels.frame_ms,
        affine=affine,
    )
    _write(labels.array[None], frame, Path(path))


def _files(path: str | Path | Sequence[Path]) -> Sequence[Path]:
    if not isinstance(path, str | Path):
        return path
    return series_files(Path(path)) if Path(path).is_dir() else [Path(path)]


def _write(stored: npt.NDArray[np.generic], geometry: Volume, path: Path) -> None:
    from audit.formats.nifti import write
    from audit.result import write_bytes

    if not path.name.endswith((".nii", ".nii.gz")):
        raise BadInput(f"cannot write a volume as '{path.suffix}'", ".nii or .nii.gz")
    affine = geometry.affine
    if not geometry.spacing_known:
        affine = np.eye(4)
    elif affine is None:
        affine = _centered(geometry.spacing_mm, stored.shape[2:])
    else:  # whoever resampled may have kept the affine; the spacing is what metrics use
        affine = _rescaled(affine, geometry.spacing_mm[::-1])
    data = stored.transpose(4, 3, 2, 1, 0)
    if data.shape[4] == 1:
        data = data[..., 0] if data.shape[3] > 1 else data[..., 0, 0]
    write_bytes(path, write(path, data, affine, frame_ms=geometry.frame_ms))


def _centered(spacing_mm: Spacing, sizes: Sequence[int]) -> Affine:
    """Axis-aligned affine with the origin at the center of the grid (z, y, x)."""
    steps = np.array(spacing_mm[::-1], dtype=np.float64)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(sizes[::-1]) - 1) / 2
    if np.allclose(affine, np.eye(4)):  # a single 1 mm voxel; the identity would say "unknown"
        affine[:3, 3] = -0.5
    return affine


def _with_spacing(raster: Raster, spacing_mm: Spacing) -> Raster:
    if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise UnusableFile(
            f"the manifest gives a spacing of {spacing_mm} mm", "three positive numbers (x y z)"
        )
    return replace(raster, affine=_rescaled(raster.affine, spacing_mm), spacing_known=True)


def _rescaled(affine: Affine, spacing_xyz: Sequence[float]) -> Affine:
    """The same axes and origin with another voxel size."""
    scaled = affine.copy()
    scaled[:3, :3] *= np.asarray(spacing_xyz) / np.asarray(spacing_of(affine))
    return scaled


def _refuse_bad_geometry(affine: Affine) -> None:
    with np.errstate(all="ignore"):
        sizes = spacing_of(affine)
        sound = (
            np.isfinite(affine).all()
            and np.allclose(affine[3], [0, 0, 0, 1])
            and all(1e-6 < s < 1e6 for s in sizes)
            and abs(np.linalg.det(affine[:3, :3] / np.asarray(sizes))) > 1e-3
        )
    if not sound:
        raise UnusableFile(
            "the affine gives voxels of no volume or of no finite size",
            "three independent axes with a positive spacing",
            "Correct the header",
        )


def spacing_zyx(affine: Affine) -> Spacing:
    """Voxel size along (z, y, x) in mm."""
    x, y, z = (round(s, 6) for s in spacing_of(affine))
    return z, y, x
