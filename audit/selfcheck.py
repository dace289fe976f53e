"""The audit audited: every metric against every planted failure, at rising strength.

A metric is trusted because it is seen to answer. Honest cohorts of a phantom population (or of
real patches) are spoiled by one known failure at a time; a row says from which strength on a
metric sees it, whether it rises with strength, and whether it stays silent where nothing is wrong.

Seen: worse than the honest value, and p <= 0.05 where the metric has a test; where it has none,
also outside the honest interval.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from audit.cohort import Case, Cohort, Role, cohort_of
from audit.comparison import Comparison
from audit.errors import BadInput
from audit.metric import METRICS, Metric
from audit.progress import track
from audit.result import Finding
from audit.scoring import build_comparison, measure

STRENGTHS = (0.25, 0.5, 1.0)
POPULATIONS = ("thorax", "heart")
SUBJECTS = 24
PATCH = 32
LEAST_PATCHES = 6
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finding's answers to one failure.

    Attributes:
        population: ``thorax``, ``heart`` or ``patches``.
        metric: Finding's name, with its variant.
        failure: What was planted.
        declared: Whether the metric claims to detect it.
        honest: Value where nothing is wrong.
        honest_alarm: Whether it called the honest cohort different.
        strengths: Planted, rising.
        values: At each; None where not computable.
        seen: At each.
        monotone: Whether it never improves by more than its interval as the failure grows.
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


def selfcheck(
    *,
    only: Sequence[str] = ("fidelity.*", "diversity.*"),
    populations: Sequence[str] = POPULATIONS,
    failures: Sequence[str] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    subjects: int = SUBJECTS,
    seed: int = 0,
    patches_of: Path | None = None,
    **settings: Any,
) -> list[Row]:
    """Plant every failure in every population and ask every metric.

    Args:
        only: Globs of metrics.
        populations: Of the phantoms.
        failures: Of ``audit.phantoms.FAILURES``; all where not given.
        strengths: In (0, 1], rising.
        subjects: A cohort.
        seed: Of populations and failures.
        patches_of: A real volume whose patches serve as one more population. They are of one
            patient: sensitivity is shown on real texture, nothing is claimed of a population.
        **settings: Of ``build_comparison``, such as ``extractors`` and ``cache``.

    Raises:
        BadInput: No such metric, population or failure.
    """
    from audit.phantoms import FAILURES

    names = METRICS.match(tuple(only))
    draws = {name: _phantoms(name, subjects, seed) for name in populations}
    if patches_of is not None:
        draws["patches"] = _patches(patches_of, seed)
    rows: list[Row] = []
    for population, draw in draws.items():
        honest = _comparison(draw, seed, settings)
        for failure in failures or FAILURES:
            rows += _ask(honest, population, failure, tuple(strengths), names, seed)
    return rows


def table(rows: Iterable[Row], population: str) -> str:
    """Markdown: metrics by failures, each cell the smallest strength seen.

    Bold where the metric declares the failure; a dash where it was not seen.
    """
    mine = [r for r in rows if r.population == population]
    failures = list(dict.fromkeys(r.failure for r in mine))
    lines = [
        f"| {population} | {' | '.join(f.replace('_', ' ') for f in failures)} | honest |",
        "|---" * (len(failures) + 2) + "|",
    ]
    for metric in dict.fromkeys(r.metric for r in mine):
        by_failure = {r.failure: r for r in mine if r.metric == metric}
        cells = [_cell(by_failure[f]) if f in by_failure else "" for f in failures]
        alarm = any(r.honest_alarm for r in by_failure.values())
        silent = "alarm" if alarm else "silent"
        lines.append(f"| {metric} | {' | '.join(cells)} | {silent} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    if all(v is None for v in row.values):
        return ""
    text = "–" if row.smallest_seen is None else f"{row.smallest_seen:g}"
    return f"**{text}**" if row.declared else text


def _ask(
    honest: Comparison,
    population: str,
    failure: str,
    strengths: tuple[float, ...],
    names: Sequence[str],
    seed: int,
) -> list[Row]:
    """Rows of one failure; none where the population cannot have it."""
    from audit.phantoms import spoil

    asked: list[dict[str, Finding]] = []
    for strength in track(strengths, f"{population}: {failure}"):
        try:
            made = list(spoil(honest.synthetic, failure, strength, seed=seed, train=honest.train))
        except BadInput:
            return []
        spoiled = cohort_of("synthetic", made)  # drawn once, not on every access
        asked.append(_findings(replace(honest, synthetic=spoiled, _made=_kept(honest)), names))
    base = honest.once("selfcheck", lambda: _findings(honest, names))
    return [
        _row(population, failure, strengths, METRICS.load(finding.name), finding, asked)
        for finding in base.values()
        if finding.status == "ok"
    ]


def _row(
    population: str,
    failure: str,
    strengths: tuple[float, ...],
    metric: Metric,
    honest: Finding,
    asked: list[dict[str, Finding]],
) -> Row:
    answers = [found.get(honest.metric) for found in asked]
    values = [a.value if a is not None else None for a in answers]
    worse = _worse(metric, honest)
    return Row(
        population=population,
        metric=honest.metric,
        failure=failure,
        declared=failure in metric.detects,
        honest=honest.value,
        honest_alarm=honest.p_value is not None and honest.p_value <= LEVEL,
        strengths=strengths,
        values=tuple(values),
        seen=tuple(a is not None and _seen(a, honest, worse) for a in answers),
        monotone=_monotone([a for a in answers if a is not None and a.value is not None], worse),
    )


def _worse(metric: Metric, honest: Finding) -> Callable[[float], float]:
    """A function that grows as the value gets worse."""
    center = honest.value or 0.0
    if metric.better == "lower":
        return lambda v: v
    if metric.better == "higher":
        return lambda v: -v
    return lambda v: abs(v - center)


def _seen(answer: Finding, honest: Finding, worse: Callable[[float], float]) -> bool:
    if answer.value is None or honest.value is None:
        return False
    if worse(answer.value) <= worse(honest.value):
        return False
    if answer.p_value is not None:
        return answer.p_value <= LEVEL
    ends = [e for e in (honest.low, honest.high) if e is not None]
    return not ends or worse(answer.value) > max(worse(e) for e in ends)


def _monotone(answers: list[Finding], worse: Callable[[float], float]) -> bool:
    """Never better by more than half an interval as the failure grows."""
    for weaker, stronger in pairwise(answers):
        if weaker.value is None or stronger.value is None:
            continue
        spans = [f.high - f.low for f in (weaker, stronger) if f.high is not None is not f.low]
        slack = max([s / 2 for s in spans if s is not None], default=0.0)
        if worse(stronger.value) < worse(weaker.value) - slack:
            return False
    return True


def _findings(comparison: Comparison, names: Sequence[str]) -> dict[str, Finding]:
    return {f.metric: f for name in names for f in measure(name, comparison)[0]}


def _kept(honest: Comparison) -> dict[str, Any]:
    """What of an honest comparison does not depend on its synthetic cohort: fitted encoders."""
    return {k: v for k, v in honest._made.items() if k.startswith("encoder:")}


def _comparison(
    draw: Callable[[Role, int], Cohort], seed: int, settings: dict[str, Any]
) -> Comparison:
    return build_comparison(
        train=draw("train", 0),
        holdout=draw("holdout", 1),
        synthetic=draw("synthetic", 2),
        seed=seed,
        **settings,
    )


def _phantoms(population: str, subjects: int, seed: int) -> Callable[[Role, int], Cohort]:
    """Draws cohorts of one phantom population: train is twice as large, for the floor."""
    from audit.phantoms import heart_cohort, thorax_cohort

    makers: dict[str, Callable[..., Cohort]] = {"thorax": thorax_cohort, "heart": heart_cohort}
    if population not in makers:
        raise BadInput(f"no population is called '{population}'", f"one of {', '.join(makers)}")

    def draw(role: Role, index: int) -> Cohort:
        count = 2 * subjects if role == "train" else subjects
        return cohort_of(role, list(makers[population](count, role=role, seed=1000 * seed + index)))

    return draw


def _patches(path: Path, seed: int) -> Callable[[Role, int], Cohort]:
    """Thirds of the textured patches of one real volume, each patch as if a subject."""
    from audit.volume import read_volume

    volume = read_volume(path)
    array = volume.array[:, :1]
    corners = [
        (z, y, x)
        for z in range(0, array.shape[2] - PATCH + 1, PATCH // 2)
        for y in range(0, array.shape[3] - PATCH + 1, PATCH // 2)
        for x in range(0, array.shape[4] - PATCH + 1, PATCH // 2)
    ]
    cut = [array[:, :, z : z + PATCH, y : y + PATCH, x : x + PATCH] for z, y, x in corners]
    lively = [c for c in cut if float(c.std()) > 0.25 * float(array.std())]
    order = np.random.default_rng(seed).permutation(len(lively))
    if len(lively) < 4 * LEAST_PATCHES:
        raise BadInput(f"{len(lively)} textured patches", f"at least {4 * LEAST_PATCHES}")
    count = min(len(lively) // 4, SUBJECTS)
    shares = {
        "train": order[: 2 * count],
        "holdout": order[2 * count : 3 * count],
        "synthetic": order[3 * count : 4 * count],
    }

    def draw(role: Role, index: int) -> Cohort:  # noqa: ARG001  # thirds are fixed by the role
        cases = [
            Case(
                id=f"patch-{i:04d}",
                subject=f"patch-{i:04d}",
                image=replace(volume, array=np.ascontiguousarray(lively[i]), affine=None),
            )
            for i in shares[role]
        ]
        return cohort_of(role, cases)

    return draw


def missed(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """(metric, failure) pairs that are declared, plantable, and seen by no variant anywhere."""
    declared: dict[tuple[str, str], bool] = {}
    for row in rows:
        if row.declared and any(v is not None for v in row.values):
            pair = (row.metric.split("[")[0], row.failure)
            declared[pair] = declared.get(pair, False) or row.smallest_seen is not None
    return [pair for pair, seen in declared.items() if not seen]


def document(rows: Sequence[Row], *, subjects: int) -> str:
    """docs/selfcheck.md: how to read it, and one table a population."""
    populations = list(dict.fromkeys(r.population for r in rows))
    intro = (
        "# What each metric sees\n\n"
        f"Written by `voxaudit selfcheck --out docs/selfcheck.md`; {subjects} subjects a cohort "
        f"(train twice as many; up to {SUBJECTS} patches, all of one real scan), "
        f"strengths {', '.join(f'{s:g}' for s in STRENGTHS)} as defined in "
        "`audit.phantoms.spoil`.\n\n"
        "A cell is the smallest strength from which on the metric sees the failure (p ≤ 0.05 and "
        "worse than honest); a dash: not seen. **Bold**: the metric declares that it detects it. "
        "The last column says whether the honest cohort raised an alarm, which one in twenty "
        "honest tests must.\n"
    )
    parts = [intro, *(table(rows, p) + "\n" for p in populations)]
    lost = missed(rows)
    verdict = "; ".join(f"{m} misses {f}" for m, f in lost) if lost else "none"
    return "\n".join([*parts, f"Declared but never seen: {verdict}.\n"])
