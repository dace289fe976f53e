"""Distances between the boundaries of two masks, exact on any spacing.

A boundary voxel is a voxel of the mask with a face neighbor outside it; the outside of the image
counts as outside. Distances run between voxel centers, in mm. This is the convention of MONAI
and medpy, so that numbers agree; tools that mesh the surface differ by up to a voxel.

Work is done on the box around both masks, and the cost follows the surfaces, not the volume: see
``audit.masks.nearest``.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.masks.nearest import Distances, Mask, distances_to_nearest

Box = tuple[slice, ...]


def surface_distances(
    first: Mask, second: Mask, spacing_mm: Sequence[float]
) -> tuple[Distances, Distances]:
    """Distance of every boundary voxel of one mask to the other's boundary.

    Args:
        first: Voxels (z, y, x).
        second: Voxels on the same grid.
        spacing_mm: Voxel size along (z, y, x).

    Returns:
        From ``first`` to ``second``, and back; mm.

    Raises:
        NotComputable: A mask is empty, so there is no boundary to measure from.
    """
    if first.shape != second.shape:
        raise NotComputable(
            f"masks have shapes {first.shape} and {second.shape}", "one grid for both"
        )
    boxes = [bounding_box(mask) for mask in (first, second)]
    if boxes[0] is None or boxes[1] is None:
        raise NotComputable("a mask is empty", "two masks with at least one voxel each")
    box = joined_box(boxes[0], boxes[1])
    edges = [_boundary(mask[box], mask.shape) for mask in (first, second)]
    return (
        distances_to_nearest(edges[0], edges[1], spacing_mm),
        distances_to_nearest(edges[1], edges[0], spacing_mm),
    )


def hausdorff95_max_directed(forward: Distances, backward: Distances) -> float:
    """Larger of the two directed 95th percentiles, mm (MONAI's definition)."""
    return float(max(np.percentile(forward, 95), np.percentile(backward, 95)))


def hausdorff95_pooled(forward: Distances, backward: Distances) -> float:
    """95th percentile of both directions' distances together, mm (medpy's definition)."""
    return float(np.percentile(np.concatenate([forward, backward]), 95))


def average_symmetric_surface_distance(forward: Distances, backward: Distances) -> float:
    """Mean over all boundary voxels of both masks, mm (MONAI's, with ``symmetric=True``)."""
    return float(np.concatenate([forward, backward]).mean())


def surface_dice(forward: Distances, backward: Distances, tolerance_mm: float) -> float:
    """Share of boundary voxels within a tolerance of the other boundary, in [0, 1].

    References:
        Nikolov et al. 2021, doi 10.2196/26151, with boundary voxels in place of surface elements.
    """
    within = np.count_nonzero(forward <= tolerance_mm) + np.count_nonzero(backward <= tolerance_mm)
    return float(within / (len(forward) + len(backward)))


def image_diagonal_mm(shape: Sequence[int], spacing_mm: Sequence[float]) -> float:
    """Length of an image's diagonal: the distance that a missing structure is booked with."""
    return math.hypot(*(n * s for n, s in zip(shape, spacing_mm, strict=True)))


def bounding_box(mask: npt.NDArray[Any]) -> Box | None:
    """Smallest box that holds every nonzero voxel; None for an empty mask."""
    box: list[slice] = []
    left = mask
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        filled = np.flatnonzero(left.any(axis=others))
        if not len(filled):
            return None
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
        # What is known to be empty is not looked at again.
        left = left[(slice(None),) * axis + (box[-1],)]
    return tuple(box)


def joined_box(first: Box, second: Box) -> Box:
    """Smallest box that holds both."""
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )


def _boundary(inside: Mask, whole: Sequence[int]) -> Mask:
    """Boundary voxels of what a box of an image of this size shows; the mask ends in the box."""
    interior = inside.copy()
    for axis, size in enumerate(whole):
        if size == 1:
            continue  # a 2D image has no neighbors, hence no boundary, along this axis
        ahead, behind = _ends(axis, inside.ndim)
        interior[behind] &= inside[ahead]
        interior[ahead] &= inside[behind]
        # Beyond the box lies background, or the edge of the image, which counts as background.
        for end in (0, -1):
            interior[(slice(None),) * axis + (end,)] = False
    return np.asarray(inside & ~interior)


def _ends(axis: int, ndim: int) -> tuple[Box, Box]:
    whole = [slice(None)] * ndim
    ahead, behind = list(whole), list(whole)
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    return tuple(ahead), tuple(behind)


def betti_numbers(mask: Mask) -> tuple[int, int, int]:
    """Components, tunnels and cavities of a mask.

    Voxels are closed cubes: two that share only a corner belong together (26-connectivity), and
    the background is 6-connected, as the pair of conventions must be.

    Args:
        mask: Voxels (z, y, x).

    Returns:
        (b0, b1, b2); b1 follows from the Euler characteristic b0 − b1 + b2.
    """
    from scipy.ndimage import generate_binary_structure, label

    box = bounding_box(mask)
    if box is None:
        return 0, 0, 0
    padded = np.pad(mask[box], 1)
    components = int(label(padded, generate_binary_structure(3, 3))[1])
    cavities = int(label(~padded)[1]) - 1
    return components, components + cavities - _euler_characteristic(padded), cavities


def _euler_characteristic(padded: Mask) -> int:
    """Vertices − edges + faces − cubes of the union of closed voxels; the rim must be empty."""
    total = 0
    for across in itertools.product((False, True), repeat=3):
        cells = padded
        for axis, flat in enumerate(across):
            if flat:  # a cell that lies between two voxels along this axis is theirs together
                ahead, behind = _ends(axis, 3)
                cells = cells[ahead] | cells[behind]
        dimension = 3 - sum(across)
        total += (-1) ** dimension * int(np.count_nonzero(cells))
    return total
