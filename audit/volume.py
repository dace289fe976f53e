"""Volume and LabelMap: what one image is in memory.

Arrays are always ``c t z y x``: a 3D image has t = 1, a 2D image z = 1. Orientation is RAS:
x grows to the patient's right, y to anterior, z to superior.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from audit.errors import BadInput

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
