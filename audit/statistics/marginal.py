"""One scalar quantity of two cohorts: how far apart its distributions are, and where.

Rows are subjects: draw one row per subject before (``two_sample.one_per_subject``). Everything is
read off the two empirical distribution functions over the pooled, sorted values, so that
permutations and floors are one matrix product instead of a loop.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.statistics.inference import estimate_of
from audit.statistics.intervals import TAIL, students_on_log
from audit.statistics.resampling import scatter_of_halves
from audit.statistics.two_sample import Floor, floor_of, test_from_null

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """Comparison of one quantity between two cohorts, in the quantity's unit.

    Attributes:
        distance: Wasserstein-1 distance.
        p_value: Permutation p of the distance.
        ks: Largest gap of the two distribution functions, in [0, 1].
        ks_p_value: Permutation p of ``ks``.
        permutations: Behind both p-values.
        mean_shift: Mean of the second cohort less that of the first.
        quantile_shifts: The same at each of ``LEVELS``.
    """

    distance: Estimate
    p_value: float
    ks: float
    ks_p_value: float
    permutations: int
    mean_shift: Estimate
    quantile_shifts: tuple[Estimate, ...]


def compare_marginals(
    real: npt.ArrayLike,
    synthetic: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    permutations: int = 999,
    resamples: int = 400,
) -> Marginal:
    """Compare one quantity between real and synthetic subjects.

    The distance is biased upward at finite n (read it against ``marginal_floor``) and a bootstrap
    would bias it further; its interval is that of distances (``intervals.students_on_log``), from
    random halves of both cohorts. The shift of the mean gets
    Welch's t, those of quantiles the percentile bootstrap.

    Args:
        real: One value a subject (n,).
        synthetic: Likewise (m,).
        rng: Source of randomness.
        permutations: Random relabelings.
        resamples: Random halves and bootstrap draws.

    Raises:
        NotComputable: A side has fewer than two subjects.
    """
    first, second = (np.sort(np.asarray(x, dtype=np.float64)) for x in (real, synthetic))
    _at_least_two(first, second)
    values, is_real = _pooled(first, second)
    distance, ks = (float(d[0]) for d in ecdf_distances(values, is_real[None], ~is_real[None]))
    relabeled = rng.permuted(np.tile(is_real, (permutations, 1)), axis=1)
    null_distance, null_ks = ecdf_distances(values, relabeled, ~relabeled)
    quantile_shifts = _quantile_shifts(first, second, rng, resamples)
    return Marginal(
        distance=_with_interval(distance, null_distance, first, second, rng, resamples),
        p_value=test_from_null(distance, null_distance).p_value,
        ks=ks,
        ks_p_value=test_from_null(ks, null_ks).p_value,
        permutations=permutations,
        mean_shift=_mean_shift(first, second),
        quantile_shifts=quantile_shifts,
    )


def ecdf_distances(
    values: FloatArray, first: BoolArray, second: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Wasserstein-1 and Kolmogorov-Smirnov distances for many choices of two cohorts.

    Args:
        values: Pooled values in ascending order (n,).
        first: Which of them belong to the first cohort (k, n).
        second: Which belong to the second; a value may be in neither.

    Returns:
        Both distances (k,).
    """
    shares = [np.cumsum(m, axis=1) / m.sum(axis=1, keepdims=True) for m in (first, second)]
    apart = np.abs(shares[0] - shares[1])
    gaps = np.diff(values)
    # Among ties the order is arbitrary: only the last of equal values counts.
    ends = np.flatnonzero(np.append(gaps > 0, True))
    return apart[:, :-1] @ gaps, apart[:, ends].max(axis=1)


def marginal_floor(
    real: npt.ArrayLike,
    n_first: int,
    n_second: int,
    *,
    rng: np.random.Generator,
    repeats: int = 400,
) -> Floor:
    """Wasserstein-1 distance between two disjoint real cohorts of the given sizes.

    Args:
        real: One value a real subject, train and hold-out together.
        n_first: Subjects of the reference.
        n_second: Subjects of the synthetic cohort; fewer are drawn where too few are left.
        rng: Source of randomness.
        repeats: Random splits.

    Raises:
        NotComputable: Fewer than two real subjects are left for the second cohort.
    """
    values = np.sort(np.asarray(real, dtype=np.float64))
    n_second = min(n_second, len(values) - n_first)
    if n_first < 2 or n_second < 2:
        raise NotComputable(
            f"{len(values)} real subjects", f"{n_first + 2} for a floor", "Add real cases"
        )
    rank = _random_ranks(rng, repeats, len(values))
    first, second = rank < n_first, (rank >= n_first) & (rank < n_first + n_second)
    return floor_of(ecdf_distances(values, first, second)[0], n_second)


def _random_ranks(rng: np.random.Generator, repeats: int, n: int) -> npt.NDArray[np.intp]:
    """A random permutation of 0 ... n − 1 in each row."""
    return rng.permuted(np.tile(np.arange(n), (repeats, 1)), axis=1)


def _at_least_two(first: FloatArray, second: FloatArray) -> None:
    if len(first) < 2 or len(second) < 2:
        raise NotComputable(
            f"{len(first)} real and {len(second)} synthetic subjects have this quantity",
            "at least two of each",
        )


def _pooled(first: FloatArray, second: FloatArray) -> tuple[FloatArray, BoolArray]:
    pooled = np.concatenate([first, second])
    order = np.argsort(pooled, kind="stable")
    return pooled[order], order < len(first)


def _with_interval(
    distance: float,
    null: FloatArray,
    first: FloatArray,
    second: FloatArray,
    rng: np.random.Generator,
    resamples: int,
) -> Estimate:
    values, is_first = _pooled(first, second)
    halves = [np.zeros((resamples, len(values)), dtype=bool) for _ in range(2)]
    for half, member in zip(halves, (is_first, ~is_first), strict=True):
        n = int(member.sum())
        half[:, member] = _random_ranks(rng, resamples, n) < max(1, n // 2)
    scatter = scatter_of_halves(
        ecdf_distances(values, *halves)[0],
        min(len(first), len(second)),
        of_log=True,
        whole=lambda: distance,
    )
    return estimate_of(distance, replace(scatter, null=null), len(second), interval=students_on_log)


def _mean_shift(first: FloatArray, second: FloatArray) -> Estimate:
    """Difference of the means by Welch's t; scipy's own warns where a side is constant."""
    from scipy.stats import t

    shift, n = float(second.mean() - first.mean()), len(second)
    variances = [float(v.var(ddof=1)) / len(v) for v in (first, second)]
    if not sum(variances) > 0:
        return Estimate(value=shift, low=None, high=None, n=n, method="none: no value varies")
    parts = zip(variances, (first, second), strict=True)
    freedom = sum(variances) ** 2 / sum(v**2 / (len(rows) - 1) for v, rows in parts)
    half = float(t.ppf(1 - TAIL, freedom)) * float(np.sqrt(sum(variances)))
    return Estimate(value=shift, low=shift - half, high=shift + half, n=n, method="Welch's t")


def _quantile_shifts(
    first: FloatArray, second: FloatArray, rng: np.random.Generator, resamples: int
) -> tuple[Estimate, ...]:
    """Shift of every quantile in ``LEVELS``."""
    draws = [v[rng.integers(0, len(v), size=(resamples, len(v)))] for v in (first, second)]
    ends = [np.quantile(rows, LEVELS, axis=1) for rows in draws]
    points = np.quantile(second, LEVELS) - np.quantile(first, LEVELS)
    return tuple(
        Estimate(
            value=float(point),
            low=min(float(np.quantile(row, TAIL)), float(point)),
            high=max(float(np.quantile(row, 1 - TAIL)), float(point)),
            n=len(second),
            method="percentile bootstrap by subject",
        )
        for point, row in zip(points, ends[1] - ends[0], strict=True)
    )
