"""Is the candidate worse than the baseline? The rule, on numbers only.

Harm is the change in the bad direction. It is tested at two thresholds at once: above zero
(significant) and below the margin (harmless), so that "could not tell" is its own answer.
"""

import math
from dataclasses import dataclass
from typing import Literal

Word = Literal["IMPROVED", "HELD", "SUSPECT", "REGRESSED", "UNDERPOWERED"]


@dataclass(frozen=True, kw_only=True)
class Harm:
    """A change in the bad direction with its interval.

    Attributes:
        value: Positive where the candidate is worse, in the metric's unit.
        low: Lower end of the two-sided interval.
        high: Upper end.
        method: Where the interval comes from.
    """

    value: float
    low: float
    high: float
    method: str


def word(harm: Harm, margin: float) -> Word:
    """Verdict on a harm against a margin; the first rule that fits.

    REGRESSED needs both: significant (the interval excludes 0) and large (at least the margin).
    """
    if harm.low > 0 and harm.value >= margin:
        return "REGRESSED"
    if harm.high < 0:
        return "IMPROVED"
    if harm.high < margin:
        return "HELD"
    if harm.low > 0 or harm.value >= margin:
        return "SUSPECT"
    return "UNDERPOWERED"


def sign(better: str) -> int:
    """+1 where lower is better, -1 where higher is."""
    return -1 if better == "higher" else 1


def z_of(confidence: float) -> float:
    """Normal quantile of a two-sided interval."""
    from scipy.stats import norm

    return float(norm.ppf(0.5 + confidence / 2))


def harm_by_replicates(
    baseline: list[float], candidate: list[float], *, sd_aa: float, better: str, confidence: float
) -> Harm:
    """Harm between means of replicate runs, with the spread calibrated from A/A runs.

    Args:
        baseline: Values of the accepted runs, one per seed.
        candidate: Values of the runs to judge.
        sd_aa: Standard deviation between runs of one generator that differ in seed only.
        better: ``lower`` or ``higher``.
        confidence: Two-sided level.
    """
    value = sign(better) * (sum(candidate) / len(candidate) - sum(baseline) / len(baseline))
    half = z_of(confidence) * sd_aa * math.sqrt(1 / len(baseline) + 1 / len(candidate))
    return Harm(value=value, low=value - half, high=value + half, method="calibrated replicates")


def harm_by_intervals(
    baseline: tuple[float, float, float],
    candidate: tuple[float, float, float],
    *,
    levels: tuple[float, float],
    better: str,
    confidence: float,
) -> Harm:
    """Harm between two estimates with intervals, each half combined in quadrature.

    Newcombe's square-and-add: for proportions the intervals are not symmetric, so each end takes
    the half-widths that face it. Independent samples are assumed; a shared real cohort makes the
    interval too wide, never too narrow.

    Args:
        baseline: (value, low, high).
        candidate: (value, low, high).
        levels: Nominal coverage of the two intervals.
        better: ``lower`` or ``higher``.
        confidence: Two-sided level of the result.

    References:
        Newcombe 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    """
    scale = [z_of(confidence) / z_of(level) for level in levels]
    below = [scale[i] * (e[0] - e[1]) for i, e in enumerate((baseline, candidate))]
    above = [scale[i] * (e[2] - e[0]) for i, e in enumerate((baseline, candidate))]
    change = candidate[0] - baseline[0]
    low = change - math.hypot(below[1], above[0])
    high = change + math.hypot(above[1], below[0])
    if sign(better) < 0:
        change, low, high = -change, -high, -low
    return Harm(value=change, low=low, high=high, method="intervals of both runs")


def harm_by_pairs(differences: list[float], *, better: str, confidence: float) -> Harm:
    """Harm as the mean of paired differences (candidate minus baseline), with Student's t.

    Args:
        differences: One per pair that both runs have; at least two.
        better: ``lower`` or ``higher``.
        confidence: Two-sided level.
    """
    from scipy.stats import t

    n = len(differences)
    mean = sum(differences) / n
    spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    half = float(t.ppf(0.5 + confidence / 2, n - 1)) * spread
    value = sign(better) * mean
    return Harm(value=value, low=value - half, high=value + half, method=f"{n} pairs")
