"""95 % intervals of two-sample statistics: one method for each kind of number.

| kind | method | why |
|---|---|---|
| distance above 0 | Student's t on the log, from random halves | its scatter grows with it |
| squared distance | the same | the same |
| logarithm of one, in its own units | the same, halves counted once | the same |
| ratio | Student's t on the log | symmetric there |
| extrapolation of a squared distance | that of the distance at n, and the fit | may be below 0 |
| signed difference | Student's t, pairs counted once | symmetric |
| share of points inside balls | mid-P at an effective n | open at 0 and 1 |
| agreement of curves | Student's t on the logit | the same |
| mean count | Garwood at the effective exposure | open at 0 |
| squared kernel distance | score interval | its variance falls with it, to the null's at 0 |

Each takes the value, its scatter and n, and returns (low, high). Subsamples that show no scatter at
all have not seen any: kinds without a rule for that raise ``Unscattered``.

A jackknife counts twice what two subjects do only together, three times what three do (Efron and
Stein 1981): where nothing differs that is most of the scatter, and everywhere in memberships of
nearest neighbors. Permutations of the labels show the scatter itself, but where nothing differs
only; a jackknife of permuted cohorts shows how much it counts too often there. So intervals draw
on all three, those of distances on random halves in the jackknife's place, which show kinks and
modes that one subject does not. Halves count too often as well where a distance is in units of its
own cohorts. ``tests/test_interval_coverage.py`` shows what all of them cover.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
TAIL = 0.025
# Scatter of a distance off its null over that at it, where it is folded: 1.66 for an absolute
# difference of two means; 2 by simulation, for other distances fold more.
OFF_NULL = 2.0
NULL_TAIL_ABOVE = 1.15  # standardized 97.5 % point of χ²_20 over the Gaussian's; of χ²_1 1.45
NULL_TAIL_BELOW = 0.84  # the same of the 2.5 % point


@dataclass(frozen=True, kw_only=True)
class StandardError:
    """How far a value would scatter over cohorts of the same n.

    Attributes:
        error: Standard error, in the value's unit; of its logarithm where it comes from halves.
        freedom: Degrees of freedom behind it.
        method: How it was made.
        null_error: The part that remains where nothing differs; squared distances have it.
        slope: Variance that each unit of distance adds to that; likewise.
        slope_above: The same towards larger distances.
        null: The statistic over permuted labels; empty where there are none.
        null_resampled: Mean variance that the same method finds in permuted cohorts; 0 where that
            was not measured.
        at_n: Of an extrapolation, the squared distance at n; ``error`` and ``null_error`` are then
            of its logarithm.
        fit_error: Of an extrapolation, what its fit adds.
    """

    error: float
    freedom: int
    method: str
    null_error: float = 0.0
    slope: float = 0.0
    slope_above: float = 0.0
    null: FloatArray = field(default_factory=lambda: np.zeros(0), repr=False)
    null_resampled: float = 0.0
    at_n: float = 0.0
    fit_error: float = 0.0


Interval = Callable[[float, StandardError, int], tuple[float, float]]


class Unscattered(ValueError):
    """Every subsample gives the same value, so there is nothing to make an interval from."""


def students(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """Student's t about a difference; the jackknife counted once.

    Raises:
        Unscattered: The standard error is 0.
    """
    half = _t(scatter) * float(np.sqrt(counted_once(scatter)))
    return value - half, value + half


def students_on_log(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """Student's t about the logarithm of a distance, whose scatter comes from random halves.

    The distance's mean, which the interval is for, lies above its median by half the variance of
    the logarithm (Cox's method).

    The upper end asks for truths further from 0. There a distance scatters more than small values
    show: at the null it is folded, as an absolute value is at 0 (to 0.6), and off it no longer. So
    the permutations' scatter joins, unfolded; the less, the further the value is from the null's
    mean, for then the permutations scatter because they mix two cohorts that lie apart. Below that
    mean it is a share of the mean: of the value, it would put the end a hundred times as far.

    Raises:
        Unscattered: The standard error or the value is 0.

    References:
        Zhou and Gao 1997, Statistics in Medicine 16, 783-790, for the mean of a log-normal.
    """
    if value <= 0:
        raise Unscattered
    lift = scatter.error**2 / 2
    low, high = _factors(scatter, scatter.error, value, scatter.null, lift=lift)
    return value * low, value * high


def students_on_log_of_squared(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """``students_on_log`` of a squared distance.

    Raises:
        Unscattered: The standard error or the value is 0.
    """
    if value <= 0:
        raise Unscattered
    root, lift = float(np.sqrt(value)), scatter.error**2 / 2
    low, high = _factors(scatter, scatter.error / 2, root, np.sqrt(scatter.null), lift=lift / 2)
    return value * low**2, value * high**2


def students_of_log(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """``students_on_log_of_squared`` of a value that is its logarithm already; halves counted once.

    It is for the mean of that logarithm, so nothing is added for the mean of the distance.

    Raises:
        Unscattered: The standard error is 0.
    """
    # About the value, for the exponential of a large logarithm has no digits left.
    once = float(np.sqrt(counted_once(scatter))) / 2
    low, high = _factors(scatter, once, 1.0, np.exp((scatter.null - value) / 2))
    return value + 2 * float(np.log(low)), value + 2 * float(np.log(high))


def students_of_extrapolated(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """The ends of the squared distance at n, as far from this value, and the scatter of the fit.

    Extrapolation takes the bias off and leaves the scatter of the subjects, but the value may be
    below 0 and has no logarithm. It is not folded there, so the permutations' scatter joins the
    upper end as it stands.

    Raises:
        Unscattered: The standard error or the distance at n is 0.
    """
    if scatter.at_n <= 0:
        raise Unscattered
    t, lift = _t(scatter), scatter.error**2 / 2
    upward = t * float(np.hypot(scatter.error, scatter.null_error))
    below = -scatter.at_n * float(np.expm1(lift - t * scatter.error))
    above = scatter.at_n * float(np.expm1(lift + upward))
    fit = t * scatter.fit_error
    return value - float(np.hypot(below, fit)), value + float(np.hypot(above, fit))


def students_on_log_of_ratio(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """Student's t about the logarithm of a ratio; the jackknife counted once.

    Raises:
        Unscattered: The standard error or the value is 0.
    """
    if value <= 0:
        raise Unscattered
    half = _t(scatter) * float(np.sqrt(counted_once(scatter))) / value
    return value * float(np.exp(-half)), value * float(np.exp(half))


def mid_p_of_members(value: float, scatter: StandardError, n: int) -> tuple[float, float]:
    """Interval of a share of points inside balls: Clopper-Pearson's mid-P at the effective n.

    The effective n is that of the jackknife's variance less what it counts too often, and at most
    the n of the subjects, which also stands where the jackknife finds no scatter. Where all agree
    the end is exact: 0.025^(1/n).

    References:
        Korn and Graubard 1998, Survey Methodology 24, 193-201, for the effective n; Brown, Cai and
        DasGupta 2001, doi 10.1214/ss/1009213286, for mid-P by the beta distribution of Jeffreys.
    """
    effect = _design_effect(value, counted_once(scatter), n)
    size = min(max(n / effect, 2.0), float(n)) if effect > 0 else float(n)
    return _open_mid_p(value, size)


def students_on_logit(value: float, scatter: StandardError, n: int) -> tuple[float, float]:
    """Student's t about the logit of an agreement; the jackknife counted once.

    At 0 and 1, and where the jackknife finds no scatter, the interval of a share of n.
    """
    return _on_logit(value, scatter, counted_once(scatter), n)


def students_on_logit_of_levels(
    value: float, scatter: StandardError, n: int
) -> tuple[float, float]:
    """The same with half of what the jackknife counts too often where nothing differs.

    Levels of one cohort in the supports of another all move with its mean. Off the null that is
    scatter of single subjects, which a jackknife counts once, and permutations do not show it.
    """
    return _on_logit(value, scatter, (counted_once(scatter) + scatter.error**2) / 2, n)


def effective_garwood(value: float, scatter: StandardError, n: int) -> tuple[float, float]:
    """Interval of a mean count: Garwood's mid-P for Poisson at the exposure the jackknife implies.

    Where nothing was counted, n subjects were exposed and the exact upper end is 3.7 / n.

    References:
        Garwood 1936, doi 10.1093/biomet/28.3-4.437; Fay and Feuer 1997 for effective counts;
        Cohen and Yang 1994, doi 10.1002/sim.4780132102 (half of a count's own probability).
    """
    from scipy.stats import chi2

    if value <= 0:
        return 0.0, float(chi2.ppf(1 - TAIL, 2)) / (2 * n)
    exposure = min(value / scatter.error**2, 1e9) if scatter.error > 0 else float(n)
    freedom = 2 * value * exposure + 1  # between the exact ends' 2 k and 2 k + 2
    low, high = (float(chi2.ppf(p, freedom)) / (2 * exposure) for p in (TAIL, 1 - TAIL))
    return low, high


def score_interval(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """All squared distances D that the value does not contradict: |value - D| <= t sd(D).

    The variance at D is ``null_error² + slope · D`` (``slope_above`` for the upper end): it falls
    to the null's as D falls to 0, which a standard error at the value overlooks. Below 0 it is the
    null's. The null's law is a mixture
    of chi-squares, skewed to the right: its tails are those of twenty.

    Raises:
        Unscattered: The standard error is 0.

    References:
        Wilson 1927, doi 10.1080/01621459.1927.10502953, for a proportion.
    """
    t = _t(scatter)
    null = t * scatter.null_error
    below = NULL_TAIL_BELOW * null
    if value < -below:  # so far below 0 that no distance explains it
        return value - null, value + below
    low = _root(value, t * t * scatter.slope, NULL_TAIL_ABOVE * null, sign=-1)
    high = _root(value, t * t * scatter.slope_above, below, sign=1)
    return (low if low > 0 else min(value - null, 0.0)), high


def _root(value: float, slope: float, null: float, *, sign: int) -> float:
    """The D at which ``(value - D)² = null² + slope · D``."""
    middle = value + slope / 2
    return middle + sign * float(np.sqrt(max(middle**2 - value**2 + null**2, 0.0)))


METHODS: Mapping[Interval, str] = {
    students: "Student's t, pairs counted once",
    students_on_log: "Student's t on the log, log-normal mean, permuted scatter upward",
    students_on_log_of_squared: "Student's t on the log of the square, log-normal mean, permuted "
    "scatter upward",
    students_of_log: "Student's t of a log, halves counted once, permuted scatter upward",
    students_of_extrapolated: "Student's t on the log at n, log-normal mean, permuted scatter "
    "upward",
    students_on_log_of_ratio: "Student's t on the log of a ratio, pairs counted once",
    mid_p_of_members: "Clopper-Pearson's mid-P at the effective n, pairs counted once",
    students_on_logit: "Student's t on the logit, pairs counted once",
    students_on_logit_of_levels: "Student's t on the logit, pairs counted once and a half",
    effective_garwood: "Garwood's mid-P at the effective exposure",
    score_interval: "score interval",
}


# They ask for ``null_resampled``.
COUNTED_ONCE = frozenset(
    {
        mid_p_of_members,
        students,
        students_of_log,
        students_on_log_of_ratio,
        students_on_logit,
        students_on_logit_of_levels,
    }
)
# They ask for the scatter of random halves, of a value or of its logarithm.
OF_HALVES: Mapping[Interval, bool] = {
    students_on_log: True,
    students_on_log_of_squared: True,
    students_of_log: False,
}


def counted_once(scatter: StandardError) -> float:
    """The variance by jackknife or halves less what they count too often, by permuted cohorts.

    There its mean and the permutations' own variance are both at hand; their difference comes off
    in proportion, and whole where the method finds more than it does there.
    """
    found = scatter.error**2
    if not scatter.null_resampled > 0 or len(scatter.null) < 2:
        return found
    too_often = max(0.0, 1 - float(scatter.null.var(ddof=1)) / scatter.null_resampled)
    return found - too_often * min(found, scatter.null_resampled)


def _t(scatter: StandardError) -> float:
    from scipy.stats import t

    if not scatter.error > 0:
        raise Unscattered
    return float(t.ppf(1 - TAIL, scatter.freedom))


def _factors(
    scatter: StandardError, error: float, value: float, null: FloatArray, *, lift: float = 0.0
) -> tuple[float, float]:
    """By what a distance is multiplied at its ends.

    ``error`` is of its logarithm, and ``lift`` how far its mean lies above its median there.
    """
    t = _t(scatter)
    anchor = max(1.0, float(null.mean()) / value) if len(null) else 1.0
    permuted = np.expm1(t * OFF_NULL * _permuted(value, null) / anchor)
    above = float(np.hypot(np.expm1(lift + t * error), anchor * permuted))
    return float(np.exp(lift - t * error)), 1 + above


def permuted_of_squared(value: float, null: FloatArray) -> float:
    """Scatter of the log of a squared distance over permutations, less the further off them."""
    return 2 * _permuted(float(np.sqrt(value)), np.sqrt(null))


def _permuted(value: float, null: FloatArray) -> float:
    """Scatter of a distance over permutations, relative to it and to how far off them it is."""
    if len(null) < 2:
        return 0.0
    return float(null.std(ddof=1)) / value * min(1.0, float(null.mean()) / value)


def _design_effect(share: float, variance: float, n: int) -> float:
    """Variance over the binomial's; its share is Agresti and Coull's, so never 0 or 1."""
    inside = (share * n + 2) / (n + 4)
    return variance * n / (inside * (1 - inside))


def _open_mid_p(share: float, size: float) -> tuple[float, float]:
    """Mid-P interval of a share of ``size``; exact and open at 0 and 1."""
    from scipy.stats import beta

    if share in (0.0, 1.0):
        end = TAIL ** (1 / size)
        return (end, 1.0) if share else (0.0, 1 - end)
    hits, misses = share * size + 0.5, (1 - share) * size + 0.5
    low, high = (float(beta.ppf(p, hits, misses)) for p in (TAIL, 1 - TAIL))
    return low, high


def _on_logit(value: float, scatter: StandardError, variance: float, n: int) -> tuple[float, float]:
    """Student's t about the logit; half a case is added on each side, so that it stays finite."""
    from scipy.special import expit, logit

    if value in (0.0, 1.0) or not variance > 0:
        return _open_mid_p(value, float(n))
    inside = (value * n + 0.5) / (n + 1)
    half = _t(scatter) * float(np.sqrt(variance)) / (inside * (1 - inside))
    return float(expit(logit(inside) - half)), float(expit(logit(inside) + half))
