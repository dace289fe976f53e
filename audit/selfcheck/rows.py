"""One metric's answers to one planted failure, and what may be concluded from them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from audit.extractor import EXTRACTORS
from audit.metric import METRICS, Metric
from audit.result import Finding
from audit.statistics.inference import MEANINGFUL_SHIFT_SD
from audit.statistics.two_sample import benjamini_hochberg

LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finding's answers to one failure.

    Attributes:
        population: ``thorax``, ``heart`` or ``patches``.
        metric: Finding's name, with its variant.
        failure: What was planted.
        declared: Whether the metric claims to detect it, with this extractor.
        honest: Value where nothing is wrong.
        honest_alarm: Whether it called the honest cohort different.
        strengths: Planted, rising.
        values: At each; None where not computable.
        seen: At each.
        monotone: Whether it never improves by more than its interval as the failure grows.
        p_values: At each; None where the metric has no test.
        too_few: Whether the audit itself says of this n that it is too small to say: at the last
            strength, no shift of a standard deviation would be detected.
    """

    population: str
    metric: str
    failure: str
    declared: bool
    honest: float | None
    honest_alarm: bool
    strengths: tuple[float, ...]
    values: tuple[float | None, ...]
    seen: tuple[bool, ...]
    monotone: bool
    p_values: tuple[float | None, ...] = ()
    too_few: bool = False

    @property
    def smallest_seen(self) -> float | None:
        """Least strength from which on every strength is seen; None where none is."""
        least = None
        for strength, seen in zip(reversed(self.strengths), reversed(self.seen), strict=True):
            if not seen:
                break
            least = strength
        return least

    def as_dict(self) -> dict[str, Any]:
        """For JSON and tables."""
        return {**asdict(self), "smallest_seen": self.smallest_seen}


def row_of(
    population: str,
    failure: str,
    strengths: tuple[float, ...],
    honest: Finding,
    asked: Sequence[dict[str, Finding]],
) -> Row:
    """Judge one finding's answers, each by itself (see ``controlled``).

    Args:
        population: Where the failure was planted.
        failure: What was planted.
        strengths: At which.
        honest: The finding where nothing is wrong.
        asked: All findings by name at each strength.
    """
    metric: Metric = METRICS.load(honest.name)
    answers = [found.get(honest.metric) for found in asked]
    worse = worse_of(metric, honest)
    return Row(
        population=population,
        metric=honest.metric,
        failure=failure,
        declared=is_declared(metric, honest.variant, failure),
        honest=honest.value,
        honest_alarm=honest.p_value is not None and honest.p_value <= LEVEL,
        strengths=strengths,
        values=tuple(a.value if a is not None else None for a in answers),
        seen=tuple(a is not None and is_seen(a, honest, worse) for a in answers),
        monotone=is_monotone([a for a in answers if a is not None and a.value is not None], worse),
        p_values=tuple(a.p_value if a is not None else None for a in answers),
        too_few=answers[-1] is not None and has_too_few(answers[-1]),
    )


def is_declared(metric: Metric, variant: str, failure: str) -> bool:
    """Whether a metric claims a failure in a variant: not where its extractor is blind to it."""
    extractor = variant.partition("/")[0]
    blind = EXTRACTORS.load(extractor).blind_to if extractor in EXTRACTORS.names() else ()
    return failure in metric.detects and failure not in blind


def has_too_few(answer: Finding) -> bool:
    """Whether a finding states its power, and that is less than a shift of one SD."""
    if "smallest_shift_sd" not in answer.reference:
        return False
    shift = answer.reference["smallest_shift_sd"]
    return shift is None or shift > MEANINGFUL_SHIFT_SD


def controlled(rows: Sequence[Row]) -> list[Row]:
    """The same rows with what is seen held to a false discovery rate of 5 % in each population.

    All tests of all planted cohorts of a population are one family for Benjamini and Hochberg.
    Answers without a test keep their verdict.
    """
    out = list(rows)
    for population in dict.fromkeys(r.population for r in rows):
        places = [
            (i, k)
            for i, row in enumerate(rows)
            if row.population == population
            for k, p in enumerate(row.p_values)
            if p is not None
        ]
        tested = [rows[i].p_values[k] or 0.0 for i, k in places]
        lost: dict[int, set[int]] = {}
        for (i, k), p in zip(places, benjamini_hochberg(tested), strict=True):
            if p > LEVEL:
                lost.setdefault(i, set()).add(k)
        for i, gone in lost.items():
            seen = tuple(s and k not in gone for k, s in enumerate(rows[i].seen))
            out[i] = replace(rows[i], seen=seen)
    return out


def missed(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """(metric, failure) pairs that are declared, plantable, and seen by no variant anywhere."""
    declared: dict[tuple[str, str], bool] = {}
    for row in rows:
        if row.declared and any(v is not None for v in row.values):
            pair = (row.metric.split("[")[0], row.failure)
            declared[pair] = declared.get(pair, False) or row.smallest_seen is not None
    return [pair for pair, seen in declared.items() if not seen]


def worse_of(metric: Metric, honest: Finding) -> Callable[[float], float]:
    """A function that grows as the value gets worse."""
    center = honest.value or 0.0
    if metric.better == "lower":
        return lambda v: v
    if metric.better == "higher":
        return lambda v: -v
    return lambda v: abs(v - center)


def is_seen(answer: Finding, honest: Finding, worse: Callable[[float], float]) -> bool:
    """Worse than honest, with p <= 0.05, or outside the honest interval where there is no test.

    A metric that calls the honest cohort different must do both.
    """
    if answer.value is None or honest.value is None:
        return False
    if worse(answer.value) <= worse(honest.value):
        return False
    ends = [e for e in (honest.low, honest.high) if e is not None]
    left = not ends or worse(answer.value) > max(worse(e) for e in ends)
    if answer.p_value is None:
        return left
    return answer.p_value <= LEVEL and (left or (honest.p_value or 1.0) > LEVEL)


def is_monotone(answers: Sequence[Finding], worse: Callable[[float], float]) -> bool:
    """Never better by more than half an interval as the failure grows."""
    for weaker, stronger in pairwise(answers):
        if weaker.value is None or stronger.value is None:
            continue
        spans = [f.high - f.low for f in (weaker, stronger) if f.high is not None is not f.low]
        slack = max([s / 2 for s in spans if s is not None], default=0.0)
        if worse(stronger.value) < worse(weaker.value) - slack:
            return False
    return True
