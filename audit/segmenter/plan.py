"""What the built-in segmenter takes from its training cohort: grid, patch, strides and kernels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.volume import Spacing

COARSEST = 2.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the training cohort decides.

    Attributes:
        names: Code of each structure.
        spacing_mm: Voxel size that the network works on.
        patch: Voxels (z, y, x) seen at once.
        strides: Of each level; the first is 1.
        kernels: Of each level: flat where slices are thick.
        temporal: Whether the input is three frames of a cycle.
        window: Fixed intensity window, or None for percentiles of each volume.
    """

    names: dict[str, int]
    spacing_mm: Spacing
    patch: tuple[int, int, int]
    strides: tuple[tuple[int, int, int], ...]
    kernels: tuple[tuple[int, int, int], ...]
    temporal: bool
    window: tuple[float, float] | None


def make_plan(
    names: Mapping[str, int],
    shape: tuple[int, int, int],
    spacing_mm: Spacing,
    *,
    temporal: bool,
    window: tuple[float, float] | None,
    voxels: int,
    levels: int,
) -> Plan:
    """Fit grid, patch and strides to a typical volume.

    The grid gets coarser, up to twofold and towards isotropic, until a frame has at most this many
    voxels; beyond that, patches are cut.
    """
    working, size = _coarsened(shape, spacing_mm, voxels)
    while np.prod(size) > voxels:
        longest = int(np.argmax(size))
        size[longest] = -(-size[longest] // 2)
    strides: list[tuple[int, int, int]] = [(1, 1, 1)]
    kernels: list[tuple[int, int, int]] = []
    extent, spacing = np.array(size), np.array(working)
    while True:
        flat = spacing > 2 * spacing.min()
        kernels.append(_triple(np.where(flat | (extent < 2), 1, 3)))
        step = np.where(~flat & (extent >= 8), 2, 1)
        # DynUNet has three levels at least, be there something left to stride over or not.
        if len(kernels) == levels or (len(kernels) >= 3 and (step == 1).all()):
            break
        strides.append(_triple(step))
        extent, spacing = -(-extent // step), spacing * step
    whole = np.prod(np.array(strides), axis=0)
    patch = -(-np.array(size) // whole) * whole
    return Plan(
        names=dict(names),
        spacing_mm=working,
        patch=_triple(patch),
        strides=tuple(strides),
        kernels=tuple(kernels),
        temporal=temporal,
        window=window,
    )


def _coarsened(
    shape: tuple[int, int, int], spacing_mm: Spacing, voxels: int
) -> tuple[Spacing, list[int]]:
    working, size = spacing_mm, list(shape)
    for factor in np.linspace(1, COARSEST, 21):
        if np.prod(size) <= voxels:
            break
        floor = min(spacing_mm) * float(factor)
        working = (max(spacing_mm[0], floor), max(spacing_mm[1], floor), max(spacing_mm[2], floor))
        size = [
            max(1, round(n * s / w)) for n, s, w in zip(shape, spacing_mm, working, strict=True)
        ]
    return working, size


def _triple(values: npt.NDArray[Any]) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in values)
    return z, y, x
