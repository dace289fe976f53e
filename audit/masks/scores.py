"""How well one mask follows another: every adherence score of one structure, in one pass."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.masks.surface import (
    average_symmetric_surface_distance,
    betti_numbers,
    bounding_box,
    hausdorff95_max_directed,
    hausdorff95_pooled,
    image_diagonal_mm,
    joined_box,
    surface_dice,
    surface_distances,
)
from audit.volume import Spacing

Mask = npt.NDArray[np.bool_]

TOLERANCE_MM = 2.0
FAILED: Mapping[str, float] = {
    "dice": 0.0,
    "iou": 0.0,
    "surface_dice": 0.0,
    "volume_error_percent": 100.0,
}
"""Scores of a frame in which a structure is missing, or was not asked for."""
IN_MM = (
    "hausdorff95_max_directed_mm",
    "hausdorff95_pooled_mm",
    "average_surface_distance_mm",
    "centroid_distance_mm",
)
TOPOLOGY = ("components_difference", "holes_difference")
VOLUMES = ("requested_ml", "made_ml")
QUANTITIES = (*FAILED, *IN_MM, *TOPOLOGY, *VOLUMES)


def score_structure(
    requested: Mask, made: Mask, spacing_mm: Spacing, *, tolerance_mm: float = TOLERANCE_MM
) -> dict[str, float] | None:
    """Every adherence score of one structure in one frame.

    Args:
        requested: Voxels (z, y, x) that were asked for.
        made: Voxels that were made.
        spacing_mm: Voxel size along (z, y, x).
        tolerance_mm: Of the surface Dice.

    Returns:
        Scores by name, distances in mm, the two volumes in mL; None where neither mask has a voxel.
    """
    boxes = [bounding_box(m) for m in (requested, made)]
    if boxes[0] is None and boxes[1] is None:
        return None
    topology = dict(zip(TOPOLOGY, _topology_difference(requested, made), strict=True))
    volumes = _volumes_ml(requested, made, spacing_mm)
    if boxes[0] is None or boxes[1] is None:
        diagonal = image_diagonal_mm(requested.shape, spacing_mm)
        return {**FAILED, **dict.fromkeys(IN_MM, diagonal), **topology, **volumes}
    box = joined_box(boxes[0], boxes[1])
    first, second = requested[box], made[box]
    n_first, n_second = np.count_nonzero(first), np.count_nonzero(second)
    both = np.count_nonzero(first & second)
    distances = surface_distances(requested, made, spacing_mm)
    apart = (_center(second) - _center(first)) * np.asarray(spacing_mm)
    return {
        "dice": float(2 * both / (n_first + n_second)),
        "iou": float(both / (n_first + n_second - both)),
        "surface_dice": surface_dice(*distances, tolerance_mm),
        "volume_error_percent": float(100 * abs(n_second - n_first) / n_first),
        "hausdorff95_max_directed_mm": hausdorff95_max_directed(*distances),
        "hausdorff95_pooled_mm": hausdorff95_pooled(*distances),
        "average_surface_distance_mm": average_symmetric_surface_distance(*distances),
        "centroid_distance_mm": float(np.linalg.norm(apart)),
        **topology,
        **volumes,
    }


def _volumes_ml(requested: Mask, made: Mask, spacing_mm: Spacing) -> dict[str, float]:
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    sizes = [voxel_ml * np.count_nonzero(mask) for mask in (requested, made)]
    return dict(zip(VOLUMES, sizes, strict=True))


def _center(mask: Mask) -> npt.NDArray[Any]:
    """Center of mass in voxels, from the three projections: no list of voxels is made."""
    total = np.count_nonzero(mask)
    along = [
        np.arange(n) @ mask.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.int64)
        for axis, n in enumerate(mask.shape)
    ]
    return np.asarray(along) / total


def _topology_difference(requested: Mask, made: Mask) -> tuple[float, float]:
    wanted, found = betti_numbers(requested), betti_numbers(made)
    return (
        float(abs(found[0] - wanted[0])),
        float(abs(found[1] - wanted[1]) + abs(found[2] - wanted[2])),
    )
