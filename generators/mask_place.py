"""Whether a requested mask can be brought to a generator's grid: what cannot is refused."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.errors import BadInput
from audit.volume import LabelMap
from generators.grid import Grid

LEAST_VIEW = 1 / 8
"""Share of the generator's field of view that a mask covers at least."""

LEAST_KEPT = 1 / 2
"""Share of the structures that lies within the generator's field of view at least."""


def refuse_elsewhere(labels: LabelMap, grid: Grid, name: str) -> None:
    """Stop where a mask does not lie on the generator's field of view.

    A mask at another resolution is resampled, cropped and padded about its center as the images
    were in training; what that cannot make sense of is refused here.

    Args:
        labels: The requested structures.
        grid: Of the generator.
        name: What the message calls the mask; no patient's.

    Raises:
        BadInput: A still mask for a cine, no stated spacing on another grid, a field of view far
            smaller than the generator's, or structures that lie for the most part outside it.
    """
    sizes, frames = labels.array.shape[1:], labels.array.shape[0]
    own, wanted = grid.shape[1:], grid.shape[0]
    if frames == 1 and wanted > 1:
        raise BadInput(
            f"{name} is a still mask", f"one for each of {wanted} frames", "Give masks of a cine"
        )
    if not (labels.spacing_known and grid.spacing_known):
        wrong = "" if sizes in (own, grid.preprocessing.shape[1:]) else "without a stated spacing"
    else:
        wrong = _misfit(labels, grid)
    if wrong:
        raise BadInput(
            f"{name} lies on another grid: {_told(sizes, labels.spacing_mm, labels.spacing_known)}"
            f", {wrong}",
            f"the field of view of {_told(own, grid.preprocessing.spacing_mm, grid.spacing_known)}",
            "Resample, crop or pad the mask to the grid of its image",
        )


def _misfit(labels: LabelMap, grid: Grid) -> str:
    """Why the field of view of a mask is another than the generator's; nothing where it fits."""
    there = [n * s for n, s in zip(labels.array.shape[1:], labels.spacing_mm, strict=True)]
    here = [n * s for n, s in zip(grid.shape[1:], grid.preprocessing.spacing_mm, strict=True)]
    shares = [min(own / other, 1.0) for own, other in zip(here, there, strict=True)]
    covered = math.prod(min(other / own, 1.0) for own, other in zip(here, there, strict=True))
    if covered < LEAST_VIEW:
        return f"which covers {covered:.1%} of it"
    codes = [labels.names[name] for name in grid.structures if name in labels.names]
    asked = np.isin(labels.array, codes)
    total = int(asked.sum())
    if total == 0 or min(shares) == 1:
        return ""
    kept = int(_middle(asked, shares).sum())
    return f"{1 - kept / total:.0%} of its structures outside" if kept < LEAST_KEPT * total else ""


def _middle(array: npt.NDArray[np.bool_], shares: Sequence[float]) -> npt.NDArray[np.bool_]:
    """The middle share of each axis of (t, z, y, x)."""
    for axis, share in enumerate(shares, start=1):
        size = array.shape[axis]
        kept = max(1, round(size * share))
        start = (size - kept) // 2
        array = array.take(np.arange(start, start + kept), axis=axis)
    return array


def _told(sizes: Sequence[int], spacing_mm: Sequence[float], known: bool) -> str:  # noqa: FBT001
    grid = "×".join(str(n) for n in sizes)
    return f"{grid} (z×y×x) at {'×'.join(f'{s:.3g}' for s in spacing_mm)} mm" if known else grid
