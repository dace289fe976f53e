"""Sliced Wasserstein distance: one-dimensional transports along many directions."""

import numpy as np
import numpy.typing as npt

from audit.statistics.pool import FloatArray, IntArray, Pool

DIRECTIONS = 256


def directions(dim: int, count: int = DIRECTIONS) -> FloatArray:
    """Unit directions (dim, count), the same for every audit."""
    drawn = np.random.default_rng(20220215).normal(size=(dim, count))
    return drawn / np.linalg.norm(drawn, axis=0)


def sliced_wasserstein(real: npt.ArrayLike, synthetic: npt.ArrayLike) -> float:
    """Mean over directions of W1 between projections of rows (n, d), equal n.

    References:
        Bonneel et al. 2015, doi 10.1007/s10851-014-0506-3.
    """
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (real, synthetic))
    if len(x) != len(y):
        raise ValueError(f"unequal n: {len(x)} and {len(y)}")
    along = directions(x.shape[1])
    return float(np.abs(np.sort(x @ along, axis=0) - np.sort(y @ along, axis=0)).mean())


def sliced_in_pool(pool: Pool, a: IntArray, b: IntArray) -> float:
    """The same of two sets of a pool's rows, projected once."""
    projected = pool.once("projected", lambda: pool.rows @ directions(pool.dim))
    return float(np.abs(np.sort(projected[a], axis=0) - np.sort(projected[b], axis=0)).mean())
