"""Distances of per-volume numbers and curves as statistics of two sets of a pool's rows."""

import numpy as np

from audit.statistics.pool import FloatArray, IntArray, Pool


def transport(pool: Pool, a: IntArray, b: IntArray) -> float:
    """Wasserstein-1 distance of the first column, equal n."""
    values = pool.rows[:, 0]
    return float(np.abs(np.sort(values[a]) - np.sort(values[b])).mean())


def area_between_means(pool: Pool, a: IntArray, b: IntArray) -> float:
    """Mean absolute difference of mean rows; of CDFs, Wasserstein-1 of pooled distributions."""
    return float(np.abs(_gap(pool, a, b)).mean())


def rms_between_means(pool: Pool, a: IntArray, b: IntArray) -> float:
    """Root mean square difference of the mean rows."""
    return float(np.sqrt((_gap(pool, a, b) ** 2).mean()))


def _gap(pool: Pool, a: IntArray, b: IntArray) -> FloatArray:
    return np.asarray(pool.rows[a].mean(axis=0) - pool.rows[b].mean(axis=0))
