"""Distance from every voxel of one set to the nearest voxel of another, exact on any spacing.

Along z each column's way to its nearest target is swept once for the whole box. Then the columns
around a point are asked ring by ring, the nearest first, until no farther ring can hold anything
nearer. Points whose nearest target lies more than ``REACH`` columns away go to a k-d tree. Where
masks nearly agree, as most do, few rings are looked at: several times faster than a k-d tree for
all, and far faster than a distance transform of the box.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
Distances = npt.NDArray[np.float64]

REACH = 8
"""Columns that are looked at around a point, to each side."""
NO_TARGET = np.int16(30_000)
"""Steps along z in a column without a target."""


def distances_to_nearest(points: Mask, targets: Mask, spacing_mm: Sequence[float]) -> Distances:
    """Distance of every voxel of one set to the nearest voxel of the other.

    Args:
        points: Voxels (z, y, x).
        targets: Voxels on the same grid, at least one.
        spacing_mm: Voxel size along (z, y, x).

    Returns:
        Distances (n,) between voxel centers in mm, points in C order.
    """
    margin = ((0, 0), (REACH, REACH), (REACH, REACH))
    steps = _steps_along_z(np.pad(targets, margin))
    places = np.flatnonzero(np.pad(points, margin))
    squared = _search_rings(places, steps, spacing_mm)
    found = np.sqrt(squared)
    far = np.flatnonzero(squared > _reach_mm(spacing_mm) ** 2)
    if len(far):
        found[far] = _search_tree(points, targets, far, spacing_mm)
    return found


def _reach_mm(spacing_mm: Sequence[float]) -> float:
    return REACH * float(min(spacing_mm[1:]))


def _steps_along_z(targets: Mask) -> npt.NDArray[np.int16]:
    """Steps (z, y, x) to the nearest target in the same column, ``NO_TARGET`` where it has none."""
    steps = np.where(targets, np.int16(0), NO_TARGET)
    for z in range(1, len(steps)):
        np.minimum(steps[z], steps[z - 1] + np.int16(1), out=steps[z])
    for z in range(len(steps) - 2, -1, -1):
        np.minimum(steps[z], steps[z + 1] + np.int16(1), out=steps[z])
    return steps


def _rings(spacing_mm: Sequence[float], row: int) -> Iterator[tuple[float, Indices]]:
    """Squared distances within reach, and the flat offsets (k, 1) of the columns at each."""
    across = np.arange(-REACH, REACH + 1)
    squared = (across[:, None] * spacing_mm[1]) ** 2 + (across * spacing_mm[2]) ** 2
    offsets = across[:, None] * row + across
    for distance in np.unique(squared[squared <= _reach_mm(spacing_mm) ** 2]):
        yield float(distance), offsets[squared == distance][:, None]


def _search_rings(
    places: Indices, steps: npt.NDArray[np.int16], spacing_mm: Sequence[float]
) -> Distances:
    """Squared distances (n,), right where they are within reach."""
    found = np.full(len(places), np.inf)
    left, best, flat = np.arange(len(places)), found.copy(), steps.ravel()
    for across, offsets in _rings(spacing_mm, steps.shape[2]):
        open_ = best > across
        if not open_.all():
            found[left[~open_]] = best[~open_]
            left, places, best = left[open_], places[open_], best[open_]
        if not len(left):
            break
        nearest = flat[places + offsets].min(axis=0)
        along = np.where(nearest < NO_TARGET, (nearest * float(spacing_mm[0])) ** 2, np.inf)
        best = np.minimum(best, across + along)
    found[left] = best
    return found


def _search_tree(
    points: Mask, targets: Mask, which: Indices, spacing_mm: Sequence[float]
) -> Distances:
    from scipy.spatial import KDTree

    scale = np.asarray(spacing_mm, dtype=np.float64)
    tree = KDTree(np.argwhere(targets) * scale, leafsize=32, balanced_tree=False)
    return np.asarray(tree.query(np.argwhere(points)[which] * scale)[0], dtype=np.float64)
