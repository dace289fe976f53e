"""What every two-sample number needs to be read: interval, floor, null, power, verdict.

One row is one subject, and both sides have the same n. Nothing here draws with replacement: a
duplicate pairs with itself and biases distances and nearest neighbors upward.

- Interval: by the method for the kind of number (``audit.statistics.intervals``), with the scatter
  from random halves of the subjects (distances), from a delete-a-block jackknife over pairs of them
  (one of each side), or from a closed-form standard error where the statistic has one, and from the
  permutations (``audit.statistics.resampling``). It is for the expectation *at this n*, whose bias
  the floor shows.
- Floor: the statistic between two disjoint real cohorts of the same n, over random splits of
  train and hold-out.
- p-value: hold-out and synthetic labels permuted.
- Power: the smallest shift (in standard deviations along the real cohort's leading axis) that
  would exceed 95 % of the floor in 80 % of splits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.statistics.intervals import (
    COUNTED_ONCE,
    METHODS,
    OF_HALVES,
    TAIL,
    Interval,
    StandardError,
    Unscattered,
    students,
)
from audit.statistics.pool import FloatArray, IntArray, Pool
from audit.statistics.resampling import Statistic, halved, jackknife, null_resampled, permuted
from audit.statistics.two_sample import Floor, PermutationTest, floor_of, test_from_null

LEAST_SUBJECTS = 4
MEANINGFUL_SHIFT_SD = 1.0
SHIFTS_SD = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)
SHIFT_SPLITS = 10


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A two-sample value with everything needed to read it.

    Attributes:
        estimate: Value, interval, subjects a side.
        floor: The same between real cohorts; None where there are too few real subjects.
        test: Permutation test against "same distribution".
        to_train: The value with train in place of hold-out; None where train is too small.
        smallest_shift_sd: Smallest shift this n would detect; None where above 3.
        verdict: ``differs from real``, ``not distinguishable at this n`` or ``n too small to say``.
        null: The statistic over permutations.
    """

    estimate: Estimate
    floor: Floor | None
    test: PermutationTest
    to_train: float | None
    smallest_shift_sd: float | None
    verdict: str
    null: FloatArray = field(repr=False)


def one_by_one(statistic: Callable[[Pool, IntArray, IntArray], float]) -> Statistic:
    """Lift a statistic of one pair of row sets to many."""

    def many(pool: Pool, a: Sequence[IntArray], b: Sequence[IntArray]) -> FloatArray:
        return np.array([statistic(pool, x, y) for x, y in zip(a, b, strict=True)])

    return many


def infer(
    statistic: Statistic,
    pool: Pool,
    *,
    rng: np.random.Generator,
    worse: Literal["higher", "lower", "both"] = "higher",
    permutations: int = 999,
    splits: int = 100,
    standard_error: Callable[[Pool, IntArray, IntArray], StandardError] | None = None,
    interval: Interval = students,
    power: bool = True,
) -> Inference:
    """Value of ``statistic(hold-out, synthetic)`` with interval, floor, null and power.

    Args:
        statistic: Of many pairs (real rows, synthetic rows).
        pool: One row a subject; hold-out and synthetic of equal n.
        rng: Source of randomness.
        worse: Direction in which the statistic speaks against the generator.
        permutations: Relabelings for the p-value.
        splits: Real-versus-real splits.
        standard_error: Of the value; random halves or the jackknife where not given.
        interval: Method for this kind of number.
        power: Whether the statistic responds to a shift of the pool's rows.

    Raises:
        NotComputable: Fewer than 4 subjects a side.
    """
    real, synthetic = pool.holdout, pool.synthetic
    n = len(synthetic)
    if len(real) != n:
        raise ValueError(f"unequal n: {len(real)} and {n}")
    refuse_few_subjects(n)
    null = permuted(statistic, pool, permutations, rng)
    estimate = estimated(
        statistic,
        pool,
        interval=interval,
        null=null,
        rng=rng,
        standard_error=standard_error,
    )
    floor = _floor(statistic, pool, n, splits, rng)
    test = _one_sided(estimate.value, null, worse)
    shift = smallest_shift_sd(statistic, pool, floor, worse, rng) if floor and power else None
    return Inference(
        estimate=estimate,
        floor=floor,
        test=test,
        to_train=_to_train(statistic, pool, n),
        smallest_shift_sd=shift,
        verdict=verdict(test.p_value, shift, power=power),
        null=null,
    )


def verdict(p_value: float, smallest_shift: float | None, *, power: bool = True) -> str:
    """What the value allows to say; without a power curve, silence is not called equality."""
    if p_value <= 0.05:
        return "differs from real"
    if not power:
        return "not distinguishable at this n; power unknown"
    if smallest_shift is None or smallest_shift > MEANINGFUL_SHIFT_SD:
        return "n too small to say"
    return "not distinguishable at this n"


def refuse_few_subjects(n: int) -> None:
    """Stop where no interval or permutation could mean anything.

    Raises:
        NotComputable: Fewer than 4 subjects a side.
    """
    if n < LEAST_SUBJECTS:
        raise NotComputable(
            f"{n} subjects a side (the smallest of hold-out, synthetic and half of all real)",
            f"at least {LEAST_SUBJECTS}",
            "Add hold-out subjects or samples",
        )


def estimated(
    statistic: Statistic,
    pool: Pool,
    *,
    interval: Interval,
    null: FloatArray,
    rng: np.random.Generator,
    standard_error: Callable[[Pool, IntArray, IntArray], StandardError] | None = None,
) -> Estimate:
    """Value and interval of ``statistic(hold-out, synthetic)``.

    Args:
        statistic: As in ``infer``.
        pool: As in ``infer``.
        interval: As in ``infer``.
        null: The statistic over permuted labels.
        rng: Source of randomness; forked, not advanced.
        standard_error: As in ``infer``.
    """
    real, synthetic = pool.holdout, pool.synthetic
    value = float(statistic(pool, [real], [synthetic])[0])

    def resampled(a: IntArray, b: IntArray) -> StandardError:
        if standard_error:
            return standard_error(pool, a, b)
        if interval in OF_HALVES:
            return halved(statistic, pool, a, b, rng, of_log=OF_HALVES[interval])
        return jackknife(statistic, pool, a, b)

    scatter = resampled(real, synthetic)
    relabeled = null_resampled(pool, rng, resampled) if interval in COUNTED_ONCE else 0.0
    scatter = replace(scatter, null=null, null_resampled=relabeled)
    return estimate_of(value, scatter, len(synthetic), interval=interval)


def estimate_of(value: float, scatter: StandardError, n: int, *, interval: Interval) -> Estimate:
    """A value with the interval of its scatter, or without one where nothing scatters.

    A distance of 0 has no logarithm; its upper end is what permutations reach in 97.5 %.
    """
    method = f"{METHODS[interval]}; {scatter.method}"
    try:
        low, high = interval(value, scatter, n)
    except Unscattered:
        reached = float(np.quantile(scatter.null, 1 - TAIL)) if len(scatter.null) else 0.0
        if interval not in OF_HALVES or value != 0 or reached <= 0:
            none = "none: every subsample gives the same value"
            return Estimate(value=value, low=None, high=None, n=n, method=none)
        low, high, method = 0.0, reached, "reached by 97.5 % of permutations"
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, method=method)


def smallest_shift_sd(
    statistic: Statistic,
    pool: Pool,
    floor: Floor,
    worse: Literal["higher", "lower", "both"],
    rng: np.random.Generator,
) -> float | None:
    """Smallest planted shift that exceeds 95 % of the floor in 80 % of real splits.

    Args:
        statistic: As in ``infer``.
        pool: As in ``infer``.
        floor: Real versus real at the same n.
        worse: Direction that counts as detected.
        rng: Source of randomness.

    Returns:
        One of ``SHIFTS_SD``, or None where even the largest goes unseen.
    """
    orders = [rng.permutation(pool.real) for _ in range(SHIFT_SPLITS)]
    n = floor.n

    def detected(shift: float) -> bool:
        seen = 0
        for order in orders:
            left, right = order[:n], order[n : 2 * n]
            value = float(statistic(pool.shifted(right, shift), [left], [right])[0])
            seen += _beyond(value, floor, worse)
        return seen >= 0.8 * SHIFT_SPLITS

    low, high = 0, len(SHIFTS_SD)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if detected(SHIFTS_SD[middle]) else (middle + 1, high)
    return SHIFTS_SD[low] if low < len(SHIFTS_SD) else None


def _beyond(value: float, floor: Floor, worse: str) -> bool:
    if worse == "both":
        return abs(value - floor.mean) > float(np.quantile(np.abs(floor.values - floor.mean), 0.95))
    if worse == "higher":
        return value > float(np.quantile(floor.values, 0.95))
    return value < float(np.quantile(floor.values, 0.05))


def _floor(
    statistic: Statistic, pool: Pool, n: int, splits: int, rng: np.random.Generator
) -> Floor | None:
    if len(pool.real) < 2 * n:
        return None
    orders = [rng.permutation(pool.real) for _ in range(splits)]
    return floor_of(statistic(pool, [o[:n] for o in orders], [o[n : 2 * n] for o in orders]), n)


def _to_train(statistic: Statistic, pool: Pool, n: int) -> float | None:
    if len(pool.train) < n:
        return None
    return float(statistic(pool, [pool.train[:n]], [pool.synthetic])[0])


def _one_sided(value: float, null: FloatArray, worse: str) -> PermutationTest:
    """Larger always speaks against the generator in what is tested."""
    if worse == "lower":
        flipped = test_from_null(-value, -null)
    elif worse == "both":
        center = float(np.median(null))
        flipped = test_from_null(abs(value - center), np.abs(null - center))
    else:
        return test_from_null(value, null)
    return PermutationTest(
        p_value=flipped.p_value,
        observed=value,
        null_mean=float(null.mean()),
        null_sd=flipped.null_sd,
        permutations=flipped.permutations,
    )
