"""What both phantoms are painted with: partial volumes and smooth random texture."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def mix(below: Array, value: float | Array, share: Array) -> Array:
    """Paint a value over an image where a structure has its share of the voxel."""
    return np.asarray(below + (value - below) * share, dtype=np.float32)


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], *, cells: int) -> Array:
    """A smooth random field of unit variance with about this many bumps along each axis."""
    from scipy.ndimage import zoom

    coarse = rng.standard_normal([min(cells, n) for n in shape])
    field = zoom(coarse, [n / c for n, c in zip(shape, coarse.shape, strict=True)], order=3)
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)
