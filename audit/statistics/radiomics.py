"""Radiomic features of one gray-level volume, by the definitions and names of the IBSI.

Intensity statistics, co-occurrence (GLCM) and run lengths (GLRLM) over the 13 directions of a 3D
neighborhood at distance 1, merged into one matrix each ("3D, full merging"). Reference:
Zwanenburg et al. 2020, doi 10.1148/radiol.2020191145, and the IBSI manual, arXiv:1612.07003,
whose digital phantom the tests reproduce.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
RUN_NAMES = (
    "rlm_sre", "rlm_lre", "rlm_lgre", "rlm_hgre", "rlm_srlge", "rlm_srhge", "rlm_lrlge",
    "rlm_lrhge", "rlm_glnu_norm", "rlm_rlnu_norm", "rlm_gl_var", "rlm_rl_var", "rlm_rl_entr",
)  # fmt: skip
DIRECTIONS = tuple(d for d in itertools.product((-1, 0, 1), repeat=3) if d > (0, 0, 0))


def intensity_statistics(values: npt.ArrayLike) -> dict[str, float]:
    """IBSI intensity-based statistics (``stat_*``) of voxels (n,).

    Kurtosis is in excess of a Gaussian's. Skewness and kurtosis of a constant are 0.
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    mean, median = float(x.mean()), float(np.median(x))
    away = x - mean
    squares = away * away
    variance = float(squares.mean())
    flat = variance <= 1e-12 * max(1.0, mean * mean)
    p10, p25, p75, p90 = (float(q) for q in np.quantile(x, (0.1, 0.25, 0.75, 0.9)))
    inner = x[(x >= p10) & (x <= p90)]
    energy = float(x @ x)
    return {
        "stat_mean": mean,
        "stat_var": variance,
        "stat_skew": 0.0 if flat else float((squares * away).mean()) / variance**1.5,
        "stat_kurt": 0.0 if flat else float((squares * squares).mean()) / variance**2 - 3,
        "stat_median": median,
        "stat_min": float(x.min()),
        "stat_p10": p10,
        "stat_p90": p90,
        "stat_max": float(x.max()),
        "stat_iqr": p75 - p25,
        "stat_range": float(np.ptp(x)),
        "stat_mad": float(np.abs(away).mean()),
        "stat_rmad": float(np.abs(inner - inner.mean()).mean()),
        "stat_medad": float(np.abs(x - median).mean()),
        "stat_energy": energy,
        "stat_rms": float(np.sqrt(energy / len(x))),
    }


def histogram_features(levels: npt.ArrayLike) -> dict[str, float]:
    """Entropy (bits) and uniformity of gray levels; level 0 is outside."""
    counts = np.bincount(np.asarray(levels).ravel())[1:]
    p = counts[counts > 0] / counts.sum()
    return {"ih_entropy": _entropy(p), "ih_uniformity": float(p @ p)}


def cooccurrence_matrix(levels: npt.ArrayLike, count: int) -> FloatArray:
    """Symmetric probabilities (count, count) that neighbors have gray levels i and j.

    Args:
        levels: Gray levels (z, y, x) from 1 to ``count``; 0 is outside and has no neighbors.
        count: Number of gray levels.
    """
    padded, offsets = padded_levels(levels)
    first = padded * (count + 1)
    pairs = np.zeros((count + 1) ** 2, dtype=np.int64)
    for offset in offsets:
        pairs += np.bincount(first[:-offset] + padded[offset:], minlength=len(pairs))
    matrix = pairs.reshape(count + 1, count + 1)[1:, 1:]
    both = (matrix + matrix.T).astype(np.float64)
    return both / max(both.sum(), 1.0)


def cooccurrence_features(p: FloatArray) -> dict[str, float]:
    """IBSI features (``cm_*``) of a co-occurrence matrix (g, g) that sums to 1.

    Correlation of a single gray level is 1, its information correlation 0.
    """
    g = len(p)
    i, j = np.indices((g, g)) + 1
    one = p.sum(axis=1)
    level = np.arange(1, g + 1)
    mean = float(level @ one)
    variance = float((level - mean) ** 2 @ one)
    apart = _summed(p, np.abs(i - j), g)
    total = _summed(p, i + j, 2 * g + 1)
    k, s = np.arange(g, dtype=np.float64), np.arange(2 * g + 1)
    contrast, difference = float(k * k @ apart), float(k @ apart)
    about = s - 2 * mean
    joint, single = _entropy(p[p > 0]), _entropy(one[one > 0])
    return {
        "cm_joint_max": float(p.max()),
        "cm_joint_avg": mean,
        "cm_joint_var": variance,
        "cm_joint_entr": joint,
        "cm_diff_avg": difference,
        "cm_diff_var": float((k - difference) ** 2 @ apart),
        "cm_diff_entr": _entropy(apart[apart > 0]),
        "cm_sum_entr": _entropy(total[total > 0]),
        "cm_energy": float((p * p).sum()),
        "cm_contrast": contrast,
        "cm_inv_diff": float((apart / (1 + k)).sum()),
        "cm_inv_diff_mom": float((apart / (1 + k * k)).sum()),
        "cm_inv_var": float((apart[1:] / (k[1:] * k[1:])).sum()),
        "cm_corr": 1 - contrast / (2 * variance) if variance > 1e-12 else 1.0,
        "cm_auto_corr": float((i * j * p).sum()),
        "cm_clust_tend": float(about**2 @ total),
        "cm_clust_shade": float(about**3 @ total),
        "cm_clust_prom": float(about**4 @ total),
        "cm_info_corr1": (joint - 2 * single) / single if single > 1e-12 else 0.0,
    }


def run_length_matrix(levels: npt.ArrayLike, count: int) -> IntArray:
    """How many runs (count, longest) of each gray level and length there are, all directions.

    Args:
        levels: As in ``cooccurrence_matrix``.
        count: Number of gray levels.
    """
    padded, offsets = padded_levels(levels)
    longest = max(np.asarray(levels).shape)
    runs = np.zeros((count + 1) * (longest + 1), dtype=np.int64)
    for offset in offsets:
        # Rows one step apart: each column follows a line, and the rim's zeros part the lines.
        tail = np.zeros(-len(padded) % offset, dtype=np.int64)
        line = np.concatenate([padded, tail]).reshape(-1, offset).T.ravel()
        starts = np.flatnonzero(line[1:] != line[:-1]) + 1
        level, length = line[starts[:-1]], np.diff(starts)
        inside = level > 0
        code = level[inside] * (longest + 1) + length[inside]
        runs += np.bincount(code, minlength=len(runs))
    return runs.reshape(count + 1, longest + 1)[1:, 1:]


def run_length_features(runs: IntArray, voxels: int) -> dict[str, float]:
    """IBSI features (``rlm_*``) of a run-length matrix (g, longest).

    Args:
        runs: Counts.
        voxels: Voxels inside, once per direction in the run percentage.
    """
    level, length = np.nonzero(runs)
    counts = runs[level, length]
    return {
        **emphases(level + 1, length + 1, counts, RUN_NAMES),
        "rlm_r_perc": float(counts.sum()) / (voxels * len(DIRECTIONS)),
    }


def emphases(
    level: IntArray, extent: IntArray, counts: npt.NDArray[Any], names: Sequence[str]
) -> dict[str, float]:
    """The 13 features that runs, zones and dependences share, under their own names.

    Args:
        level: Gray level (k,) of each kind of run or zone, from 1.
        extent: Its length, size or dependence (k,).
        counts: How many of each kind (k,).
        names: In the order short, long, low and high gray level, their four products,
            non-uniformity of level and of extent (normalized), variance of both, entropy.
    """
    p = counts / counts.sum()
    i, j = level.astype(np.float64) ** 2, extent.astype(np.float64) ** 2
    values = [
        p @ (1 / j), p @ j, p @ (1 / i), p @ i,
        p @ (1 / (i * j)), p @ (i / j), p @ (j / i), p @ (i * j),
        *(float(np.square(np.bincount(axis, weights=p)).sum()) for axis in (level, extent)),
        *(p @ np.square(axis - p @ axis) for axis in (level, extent)),
        _entropy(p),
    ]  # fmt: skip
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def padded_levels(levels: npt.ArrayLike) -> tuple[IntArray, tuple[int, ...]]:
    """Flat levels with a rim of 0, and each direction as a step in them."""
    padded = np.pad(np.asarray(levels, dtype=np.int64), 1)
    steps = np.array(padded.strides) // padded.itemsize
    return padded.ravel(), tuple(int(steps @ d) for d in np.array(DIRECTIONS))


def _summed(p: FloatArray, place: IntArray, count: int) -> FloatArray:
    """Probabilities (count,) of cells with equal place."""
    return np.bincount(place.ravel(), weights=p.ravel(), minlength=count).astype(np.float64)


def _entropy(p: FloatArray) -> float:
    return float(-(p * np.log2(p)).sum())
