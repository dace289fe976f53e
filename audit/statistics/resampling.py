"""Statistics of two sets of a pool's rows, and how they scatter: permutations, jackknife, halves.

Nothing here draws with replacement: see ``audit.statistics.inference``.
"""

from collections.abc import Callable, Sequence

import numpy as np

from audit.statistics.intervals import StandardError
from audit.statistics.pool import FloatArray, IntArray, Pool

Statistic = Callable[[Pool, Sequence[IntArray], Sequence[IntArray]], FloatArray]
JACKKNIFE_BLOCKS = 20
RESAMPLED_PERMUTATIONS = 4
HALVES = 60


def jackknife(statistic: Statistic, pool: Pool, a: IntArray, b: IntArray) -> StandardError:
    """Standard error by leaving out blocks of pairs.

    The k-th block takes the same positions out of both sides, so that n stays equal.

    References:
        Efron and Stein 1981, doi 10.1214/aos/1176345462: conservative for any statistic.
    """
    n = len(a)
    blocks = min(n, JACKKNIFE_BLOCKS)
    gone = [np.arange(k, n, blocks) for k in range(blocks)]
    left = statistic(pool, [np.delete(a, g) for g in gone], [np.delete(b, g) for g in gone])
    if np.ptp(left) <= 1e-12 * float(np.abs(left).max()):
        left = np.zeros(blocks)  # nothing but rounding
    variance = (blocks - 1) / blocks * float(((left - left.mean()) ** 2).sum())
    return StandardError(
        error=float(np.sqrt(variance)),
        freedom=blocks - 1,
        method=f"jackknife over pairs of subjects, {blocks} blocks",
    )


def halved(
    statistic: Statistic,
    pool: Pool,
    a: IntArray,
    b: IntArray,
    rng: np.random.Generator,
    *,
    of_log: bool,
) -> StandardError:
    """Standard error by random halves of each side, of the value or of its logarithm.

    As far as subjects add up, halves of a cohort scatter about it as cohorts of its size do about
    the truth (a delete-d jackknife whose factor is 1). What two do only together counts three
    times in a squared distance (the jackknife: twice); but where that is most of the scatter, the
    distance of halves is larger as well, so that its logarithm scatters about as it should
    (simulated, not proven). Leaving out one or two, as the jackknife does, shows the slope at this
    cohort only: a distance that has a kink there, or turns on a mode of a few subjects, has another
    slope in the next one.

    The generator is forked, not advanced.

    References:
        Shao and Wu 1989, doi 10.1214/aos/1176347263.
    """
    n, own = len(a), rng.spawn(1)[0]
    sides = [
        [np.sort(own.choice(side, n // 2, replace=False)) for _ in range(HALVES)] for side in (a, b)
    ]
    values = statistic(pool, *sides)
    return scatter_of_halves(
        values, n, of_log=of_log, whole=lambda: float(statistic(pool, [a], [b])[0])
    )


def scatter_of_halves(
    values: FloatArray, n: int, *, of_log: bool, whole: Callable[[], float]
) -> StandardError:
    """Standard error from the values of random halves; see ``halved``.

    Args:
        values: One a half.
        n: Subjects a side, of which n // 2 make a half.
        of_log: Whether of the logarithm.
        whole: The value of all subjects, asked for where a half has no logarithm.
    """
    size = n // 2
    if of_log and values.min() > 0:
        values = np.log(values)
    elif of_log:  # a half at distance 0 has no logarithm: the delta method
        values = values / (whole() or 1.0)
    scatter = float(values.std(ddof=1))
    seen = scatter > 1e-12 * float(np.abs(values).max())
    return StandardError(
        error=scatter * float(np.sqrt(size / (n - size))) if seen else 0.0,
        freedom=min(n, len(values)) - 1,
        method=f"{len(values)} random halves of the subjects",
    )


def permuted(
    statistic: Statistic, pool: Pool, permutations: int, rng: np.random.Generator
) -> FloatArray:
    """The statistic where the labels of hold-out and synthetic subjects are drawn at random."""
    return statistic(pool, *_relabeled(pool, permutations, rng))


def null_resampled(
    pool: Pool,
    rng: np.random.Generator,
    standard_error: Callable[[IntArray, IntArray], StandardError],
) -> float:
    """Mean variance that ``standard_error`` finds in permuted cohorts, whose scatter is known.

    The generator is forked, not advanced: permutations and splits stay what they are without it.
    """
    relabeled = _relabeled(pool, RESAMPLED_PERMUTATIONS, rng.spawn(1)[0])
    errors = [standard_error(a, b).error for a, b in zip(*relabeled, strict=True)]
    return float(np.square(errors).mean())


def _relabeled(
    pool: Pool, permutations: int, rng: np.random.Generator
) -> tuple[list[IntArray], list[IntArray]]:
    both = np.concatenate([pool.holdout, pool.synthetic])
    n = len(pool.holdout)
    orders = [rng.permutation(both) for _ in range(permutations)]
    return [o[:n] for o in orders], [o[n:] for o in orders]
