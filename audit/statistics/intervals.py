"""95 % intervals of two-sample statistics: one method for each kind of number.

| kind | method | why |
|---|---|---|
| distance above 0 | Student's t on the log | its scatter grows with it: the plain t misses upward |
| signed difference | Student's t | symmetric |
| share | Clopper-Pearson at the effective n | open at 0 and 1 |
| mean count | Garwood at the effective exposure | open at 0 |
| squared kernel distance | score interval | its variance falls with it, to the null's at 0 |

Each takes the value, its scatter and n, and returns (low, high). A jackknife that finds no scatter
at all has not seen any: kinds without a rule for that raise ``Unscattered``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

TAIL = 0.025
NULL_TAIL = 1.15  # standardized 97.5 % points of χ²_20 over the Gaussian's; of χ²_1 1.45


@dataclass(frozen=True, kw_only=True)
class StandardError:
    """How far a value would scatter over cohorts of the same n.

    Attributes:
        error: Standard error, in the value's unit.
        freedom: Degrees of freedom behind it.
        method: How it was made.
        null_error: The part that remains where nothing differs; squared distances have it.
        slope: Variance that each unit of distance adds to that; likewise.
    """

    error: float
    freedom: int
    method: str
    null_error: float = 0.0
    slope: float = 0.0


Interval = Callable[[float, StandardError, int], tuple[float, float]]


class Unscattered(ValueError):
    """Every subsample gives the same value, so there is nothing to make an interval from."""


def students(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """Student's t about the value.

    Raises:
        Unscattered: The standard error is 0.
    """
    half = _t(scatter) * scatter.error
    return value - half, value + half


def students_on_log(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """Student's t about the logarithm of a distance, its standard error by the delta method.

    Raises:
        Unscattered: The standard error or the value is 0.
    """
    if value <= 0:
        raise Unscattered
    half = _t(scatter) * scatter.error / value
    return value * float(np.exp(-half)), value * float(np.exp(half))


def effective_clopper_pearson(value: float, scatter: StandardError, n: int) -> tuple[float, float]:
    """Interval of a rate: Clopper-Pearson at the n that a jackknife standard error implies.

    At most the n of the subjects, which also stands where the jackknife finds no scatter.

    References:
        Korn and Graubard 1998, Survey Methodology 24, 193-201, truncated.
    """
    from scipy.stats import beta

    size = float(n)
    if scatter.error > 0:
        inside = (value * n + 2) / (n + 4)  # Agresti and Coull's: never 0 or 1
        size = min(max(inside * (1 - inside) / scatter.error**2, 2.0), size)
    hits = value * size
    low = float(beta.ppf(TAIL, hits, size - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - TAIL, hits + 1, size - hits)) if hits < size else 1.0
    return low, high


def effective_garwood(value: float, scatter: StandardError, n: int) -> tuple[float, float]:
    """Interval of a mean count: Garwood's for Poisson at the exposure that the jackknife implies.

    Where nothing was counted, n subjects were exposed: the upper end is 3.7 / n.

    References:
        Garwood 1936, doi 10.1093/biomet/28.3-4.437; Fay and Feuer 1997 for effective counts.
    """
    from scipy.stats import chi2

    exposure = float(n)
    if value > 0 and scatter.error > 0:
        exposure = min(value / scatter.error**2, 1e9)
    counts = value * exposure
    low = float(chi2.ppf(TAIL, 2 * counts)) / (2 * exposure) if counts > 0 else 0.0
    return low, float(chi2.ppf(1 - TAIL, 2 * counts + 2)) / (2 * exposure)


def score_interval(value: float, scatter: StandardError, n: int) -> tuple[float, float]:  # noqa: ARG001
    """All squared distances D that the value does not contradict: |value - D| <= t sd(D).

    The variance at D is ``null_error² + slope · D``: it falls to the null's as D falls to 0, which
    a standard error at the value overlooks. Below 0 it is the null's. The null's law is a mixture
    of chi-squares, skewed to the right: the lower end keeps the tail of twenty.

    Raises:
        Unscattered: The standard error is 0.

    References:
        Wilson 1927, doi 10.1080/01621459.1927.10502953, for a proportion.
    """
    t = _t(scatter)
    null, slope = t * scatter.null_error, t * t * scatter.slope
    if value < -null:  # so far below 0 that no distance explains it
        return value - null, value + null
    low = _root(value, slope, NULL_TAIL * null, sign=-1)
    return (low if low > 0 else min(value - null, 0.0)), _root(value, slope, null, sign=1)


def _root(value: float, slope: float, null: float, *, sign: int) -> float:
    """The D at which ``(value - D)² = null² + slope · D``."""
    middle = value + slope / 2
    return middle + sign * float(np.sqrt(max(middle**2 - value**2 + null**2, 0.0)))


METHODS: Mapping[Interval, str] = {
    students: "Student's t",
    students_on_log: "Student's t on the log",
    effective_clopper_pearson: "Clopper-Pearson at the effective n",
    effective_garwood: "Garwood at the effective exposure",
    score_interval: "score interval",
}


def _t(scatter: StandardError) -> float:
    from scipy.stats import t

    if not scatter.error > 0:
        raise Unscattered
    return float(t.ppf(1 - TAIL, scatter.freedom))
