"""Comparing two samples: distances, permutation by subject, multiplicity, real-versus-real floor.

Rows are volumes; the exchange unit is the subject. Where subjects have several rows each, draw one
row per subject first (``one_per_subject``): clusters of unequal size are not exchangeable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BLOCK_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class PermutationTest:
    """Outcome of a label permutation against "same distribution".

    Attributes:
        p_value: ``(1 + #{permuted >= observed}) / (permutations + 1)``; never 0.
        observed: The statistic on the given labels.
        null_mean: Mean over permutations: what the statistic shows where nothing differs.
        null_sd: Standard deviation over permutations.
        permutations: How many were drawn.
    """

    p_value: float
    observed: float
    null_mean: float
    null_sd: float
    permutations: int


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What the statistic shows between two real cohorts of n subjects each.

    Attributes:
        mean: Mean over the splits; the value at which nothing is left to gain.
        low: 2.5 % quantile over the splits.
        high: 97.5 % quantile.
        n: Subjects a side.
        values: The statistic of every split.
    """

    mean: float
    low: float
    high: float
    n: int
    values: FloatArray = field(repr=False)


def wasserstein_1(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Earth mover's distance of two scalar samples, in their unit.

    Raises:
        NotComputable: A sample is empty.
    """
    from scipy.stats import wasserstein_distance

    first, second = _rows(a)[:, 0], _rows(b)[:, 0]
    return float(wasserstein_distance(first, second))


def energy_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Energy distance ``2 E|X-Y| - E|X-X'| - E|Y-Y'|`` of rows (n,) or (n, d); at least 0.

    The plug-in (V) form without square root: 0 only where the two empirical distributions agree.
    Its floor at finite n is positive: read it against ``split_half_floor``.

    Raises:
        NotComputable: A sample is empty.

    References:
        Székely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018.
    """
    first, second = _rows(a), _rows(b)
    between = 2 * _mean_distance(first, second)
    within = _mean_distance(first, first) + _mean_distance(second, second)
    return max(0.0, between - within)


def permutation_p_value(
    statistic: Callable[[FloatArray, FloatArray], float],
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    subjects_a: Sequence[str] | None = None,
    subjects_b: Sequence[str] | None = None,
    permutations: int = 999,
) -> PermutationTest:
    """Test "a and b come from one distribution" by relabeling whole subjects.

    Args:
        statistic: ``(rows of one side, rows of the other) -> number``, larger for more different.
        a: Rows (n, ...) of one side.
        b: Rows (m, ...) of the other.
        rng: Source of randomness.
        subjects_a: Subject of each row of ``a``; each row its own where not given.
        subjects_b: As ``subjects_a``; a name on both sides stays two units.
        permutations: Random relabelings.

    Raises:
        NotComputable: A side has no rows.
    """
    first, second = _rows(a), _rows(b)
    pooled = np.concatenate([first, second])
    units = [
        *_clusters(subjects_a, len(first)),
        *(i + len(first) for i in _clusters(subjects_b, len(second))),
    ]
    n_first = len(_clusters(subjects_a, len(first)))
    observed = float(statistic(first, second))
    null = np.empty(permutations)
    for k in range(permutations):
        order = rng.permutation(len(units))
        left = np.concatenate([units[i] for i in order[:n_first]])
        right = np.concatenate([units[i] for i in order[n_first:]])
        null[k] = statistic(pooled[left], pooled[right])
    return test_from_null(observed, null)


def test_from_null(observed: float, null: FloatArray) -> PermutationTest:
    """The test from the statistic's values over permutations.

    Values that agree with the observed one to rounding count as ties, so against the alternative.
    """
    slack = 1e-10 * max(abs(observed), float(np.abs(null).max(initial=0.0)))
    return PermutationTest(
        p_value=float((1 + np.sum(null >= observed - slack)) / (len(null) + 1)),
        observed=observed,
        null_mean=float(null.mean()),
        null_sd=float(null.std(ddof=1)) if len(null) > 1 else 0.0,
        permutations=len(null),
    )


test_from_null.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def split_half_floor(
    statistic: Callable[[FloatArray, FloatArray], float],
    rows: npt.ArrayLike,
    *,
    n: int,
    rng: np.random.Generator,
    subjects: Sequence[str] | None = None,
    repeats: int = 50,
) -> Floor:
    """The statistic between two disjoint real cohorts of n subjects, over random splits.

    Args:
        statistic: ``(rows of one half, rows of the other) -> number``.
        rows: Real rows (N, ...): train and hold-out together.
        n: Subjects a side; the n of the value that is read against the floor.
        rng: Source of randomness.
        subjects: Subject of each row; each row its own where not given.
        repeats: Random splits.

    Raises:
        NotComputable: Fewer than 2 n subjects.
    """
    data = _rows(rows)
    units = _clusters(subjects, len(data))
    if n < 1 or len(units) < 2 * n:
        raise NotComputable(
            f"{len(units)} real subjects", f"{2 * n} for a floor at n = {n}", "Add real cases"
        )
    values = np.empty(repeats)
    for k in range(repeats):
        order = rng.permutation(len(units))
        left = np.concatenate([units[i] for i in order[:n]])
        right = np.concatenate([units[i] for i in order[n : 2 * n]])
        values[k] = statistic(data[left], data[right])
    return floor_of(values, n)


def floor_of(values: FloatArray, n: int) -> Floor:
    """Summarize the statistic's values over real-versus-real splits at n subjects a side."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Floor(mean=float(values.mean()), low=float(low), high=float(high), n=n, values=values)


def one_per_subject(subjects: Sequence[str], rng: np.random.Generator) -> IntArray:
    """Positions of one random row of each subject, in the order of first appearance."""
    places: dict[str, list[int]] = {}
    for i, subject in enumerate(subjects):
        places.setdefault(subject, []).append(i)
    return np.array([p[int(rng.integers(len(p)))] for p in places.values()], dtype=np.intp)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Holm's adjusted p-values: family-wise error, any dependence.

    References:
        Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = (len(p) - np.arange(len(p))) * p[order]
    return _unsort(np.minimum(1.0, np.maximum.accumulate(scaled)), order)


def benjamini_hochberg(p_values: npt.ArrayLike) -> FloatArray:
    """Benjamini and Hochberg's adjusted p-values: false discovery rate.

    References:
        Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / (1 + np.arange(len(p)))
    return _unsort(np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1]), order)


def _unsort(values: FloatArray, order: IntArray) -> FloatArray:
    out = np.empty_like(values)
    out[order] = values
    return out


def _rows(values: npt.ArrayLike) -> FloatArray:
    rows = np.asarray(values, dtype=np.float64)
    if rows.shape[:1] in {(), (0,)}:
        raise NotComputable("an empty sample", "at least one case")
    return rows[:, None] if rows.ndim == 1 else rows


def _clusters(subjects: Sequence[str] | None, n: int) -> list[IntArray]:
    if subjects is None:
        return [np.array([i], dtype=np.intp) for i in range(n)]
    if len(subjects) != n:
        raise ValueError(f"{n} rows but {len(subjects)} subjects")
    _, inverse = np.unique(np.asarray(subjects), return_inverse=True)
    return [np.flatnonzero(inverse == k) for k in range(int(inverse.max()) + 1)]


def _mean_distance(a: FloatArray, b: FloatArray) -> float:
    """Mean Euclidean distance, a block of rows at a time."""
    from scipy.spatial.distance import cdist

    flat_a, flat_b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    total = sum(
        float(cdist(flat_a[i : i + BLOCK_ROWS], flat_b).sum())
        for i in range(0, len(flat_a), BLOCK_ROWS)
    )
    return total / (len(a) * len(b))
