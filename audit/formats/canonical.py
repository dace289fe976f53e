"""Bring a raster to RAS: x to the right, y to anterior, z to superior.

A stack of thick slices across the body's axes (short-axis cine MR) has no nearest RAS order: which
axis is "most superior" flips between patients whose hearts lie a few degrees apart. Such a stack
keeps its slices along z, pointing to superior and to the base of a heart (right, posterior,
superior); in plane x points to the right and y up (anterior and superior).
"""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

from audit.formats.raster import Affine, Raster, spacing_of

THICK = 2.0
"""A slice is thick from this multiple of the in-plane voxel size."""
OBLIQUE_DEGREES = 15.0
"""Axes further than this from the body's make a stack oblique."""
RAS_TARGETS = np.eye(3)
STACK_TARGETS = np.array([[1.0, 0.0, 0.5], [0.0, 0.7, -0.5], [0.0, 0.7, 1.0]])
"""Columns: where x, y and z of an oblique stack of thick slices should point, in RAS."""


def to_ras(raster: Raster) -> Raster:
    """Permute and flip the axes so that they run as the module says; no resampling."""
    order, signs = _arrangement(raster.affine)
    array = np.transpose(raster.array, (*order, 3, 4))
    step = np.eye(4)
    step[:3, :3] = 0.0
    for target, (source, sign) in enumerate(zip(order, signs, strict=True)):
        step[source, target] = sign
        if sign < 0:
            array = np.flip(array, axis=target)
            step[source, 3] = raster.array.shape[source] - 1
    return replace(raster, array=array, affine=raster.affine @ step)


def orientation_of(affine: Affine) -> str:
    """Where the axes x, y, z of a file point, such as ``LPS``; ``oblique`` is appended if so."""
    import nibabel as nib

    code = "".join(nib.aff2axcodes(affine))
    return f"{code} oblique" if _is_oblique(_unit_axes(affine)) else code


def _arrangement(affine: Affine) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Source axis and sign of each target axis: of all 48, those that fit best."""
    axes = _unit_axes(affine)
    sizes = np.asarray(spacing_of(affine))
    slices = int(sizes.argmax())
    stack = bool(sizes[slices] >= THICK * max(np.delete(sizes, slices))) and _is_oblique(axes)
    targets = STACK_TARGETS if stack else RAS_TARGETS
    best, best_fit = ((0, 1, 2), (1, 1, 1)), -np.inf
    for order in permutations(range(3)):
        if stack and order[2] != slices:
            continue
        for signs in product((1, -1), repeat=3):
            turned = axes[:, order] * signs
            if stack and np.linalg.det(turned) < 0:
                continue
            fit = float((turned * targets).sum())
            if fit > best_fit + 1e-9:
                best, best_fit = (order, signs), fit  # type: ignore[assignment]
    return best


def _unit_axes(affine: Affine) -> npt.NDArray[np.float64]:
    return affine[:3, :3] / np.asarray(spacing_of(affine))


def _is_oblique(axes: npt.NDArray[np.float64]) -> bool:
    return bool(np.abs(axes).max(axis=0).min() < np.cos(np.radians(OBLIQUE_DEGREES)))
