"""Laws over all metrics, whoever wrote them: a new metric file is held to them unasked."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from audit.cohort import Cohort, cohort_of
from audit.comparison import Comparison
from audit.metric import METRICS, Metric
from audit.phantoms import FAILURES, spoil, with_conditions
from audit.result import Finding
from audit.scoring import measure
from audit.selfcheck.rows import is_monotone, is_seen, worse_of
from audit.statistics.intervals import METHODS

NAMES = METRICS.names()
every_metric = pytest.mark.parametrize("name", NAMES)
# Networks are trained or cohorts of many seeds compared: minutes, so in the nightly run.
HEAVY = ("memorization.", "utility.")
# Needs a package, and minutes a phantom: tests/metrics/fidelity/test_frechet_radiomics_distance.py.
ELSEWHERE = ("fidelity.frechet_radiomics_distance",)
DETECTING = [
    pytest.param(name, failure, marks=pytest.mark.slow if name.startswith(HEAVY) else ())
    for name in NAMES
    if name not in ELSEWHERE
    for failure in METRICS.load(name).detects
]
# What only the nightly run detects, by name, so that nothing drops out of it unseen. The other
# memorization metrics judge the audit itself (encoder_auc, null_check, planted_recovery,
# seed_agreement), the real cohorts (duplicates), the generator (membership), or count; and
# partial_copies compares in place, so it misses the turned copies of this failure.
NIGHTLY = {
    ("memorization.authenticity", "copying"),
    ("memorization.closest_record", "copying"),
    ("memorization.copy_rate", "copying"),
    ("memorization.dar_protocol", "copying"),
    ("memorization.memorized_share", "copying"),
    ("memorization.near_duplicates", "collapse"),
    ("memorization.neighbor_ratio", "copying"),
    ("memorization.similarity_rate", "copying"),
    ("utility.classification_gap", "collapse"),
    ("utility.segmentation_gap", "missing_organ"),
}
quick = pytest.mark.parametrize(
    "name", [n for n in NAMES if not n.startswith(HEAVY) and n not in ELSEWHERE]
)


@pytest.fixture(scope="module")
def bench(thorax_comparison: Comparison, heart_comparison: Comparison) -> dict[str, Comparison]:
    """Both populations, every case drawn once."""
    return {
        "thorax": _drawn(thorax_comparison),
        "heart": _drawn(heart_comparison),
    }


@pytest.fixture(scope="module")
def memory() -> dict[object, object]:
    """What several laws measure, by question."""
    return {}


def _drawn(comparison: Comparison) -> Comparison:
    roles = ("train", "holdout", "synthetic", "conditions")
    drawn = {r: cohort_of(r, list(getattr(comparison, r))) for r in roles}
    return replace(comparison, **drawn, _made={})


def population(name: str) -> str:
    """Where a metric has most to say: cines for what needs motion or a heart."""
    metric = METRICS.load(name)
    return "heart" if "cine" in metric.needs or name.startswith("cardiac.") else "thorax"


def findings(name: str, comparison: Comparison) -> dict[str, Finding]:
    return {f.metric: f for f in measure(name, comparison)[0]}


def another(
    name: str, change: str, bench: dict[str, Comparison], memory: dict, **cohorts: Cohort | None
) -> dict[str, Finding]:
    """Findings on a changed comparison that shares no intermediate with the first.

    The metrics share it among themselves: features, masks and radiomics are made again once.
    """
    place = (change, population(name))
    if place not in memory:
        memory[place] = replace(bench[place[1]], **cohorts, _made={})
    return findings(name, memory[place])


def honest(name: str, bench: dict[str, Comparison], memory: dict) -> dict[str, Finding]:
    if name not in memory:
        memory[name] = findings(name, bench[population(name)])
    return memory[name]


def numbers(found: dict[str, Finding]) -> dict[str, tuple[float | None, ...]]:
    return {k: (f.value, f.low, f.high, f.p_value) for k, f in found.items()}


@every_metric
def test_declaration_cites_a_source_and_known_failures(name: str) -> None:
    metric: Metric = METRICS.load(name)
    assert len(metric.source) > 10
    assert metric.explanation.endswith((".", ")"))
    assert set(metric.detects) <= set(FAILURES)
    assert metric.bounds[0] < metric.bounds[1]
    assert re.search(r"TODO|FIXME", metric.explanation) is None


@quick
def test_value_lies_in_its_bounds_and_its_interval(name: str, bench, memory) -> None:
    low, high = METRICS.load(name).bounds
    found = honest(name, bench, memory)
    assert found
    for label, f in found.items():
        if f.status == "not_computable":
            assert len(f.reason) > 10, label
            continue
        assert low <= f.value <= high, label
        assert f.method, label
        assert f.n >= 1, label
        if f.low is not None and f.high is not None:
            assert f.low <= f.value <= f.high, label
        assert f.p_value is None or 0 < f.p_value <= 1, label


@pytest.mark.parametrize(
    "name",
    [n for n in NAMES if n.startswith(("fidelity.", "diversity.")) and n not in ELSEWHERE],
)
def test_a_two_sample_interval_names_its_one_method(name: str, bench, memory) -> None:
    """Each of these is simulated in tests/test_interval_coverage.py."""
    stated = {f.method.partition(";")[0] for f in honest(name, bench, memory).values()}
    methods = {m for m in stated if m and not m.startswith("none: ")}
    assert methods <= set(METHODS.values())
    assert len(methods) <= 1


@quick
def test_same_seed_gives_the_same_estimate(name: str, bench, memory) -> None:
    again = another(name, "again", bench, memory)
    assert numbers(again) == numbers(honest(name, bench, memory))


@quick
def test_order_of_volumes_is_irrelevant(name: str, bench, memory) -> None:
    comparison = bench[population(name)]

    def turned(cohort: Cohort | None) -> Cohort | None:
        return None if cohort is None else cohort.subset(range(len(cohort) - 1, -1, -1))

    roles = ("train", "holdout", "synthetic", "conditions")
    cohorts = {role: turned(getattr(comparison, role)) for role in roles}
    after = numbers(another(name, "turned", bench, memory, **cohorts))
    before = numbers(honest(name, bench, memory))
    assert before.keys() == after.keys()
    for label, (value, *_) in before.items():
        other = after[label][0]
        if value is None or other is None:
            assert value is other, label
        else:
            assert other == pytest.approx(value, rel=1e-6, abs=1e-9), label


@quick
def test_one_volume_gives_a_finite_value_or_a_reason(name: str, bench, memory) -> None:
    comparison = bench[population(name)]
    cohorts = {
        "synthetic": comparison.synthetic.subset([0]),
        "conditions": comparison.conditions.subset([0]) if comparison.conditions else None,
    }
    for label, f in another(name, "alone", bench, memory, **cohorts).items():
        if f.status == "ok":
            assert math.isfinite(f.value), label
        else:
            assert len(f.reason) > 10, label


@pytest.mark.parametrize(("name", "failure"), DETECTING)
def test_ranks_an_honest_cohort_above_the_failure_it_declares(
    name: str, failure: str, bench, memory
) -> None:
    """At full strength, in at least one variant, on the population that can have the failure."""
    metric = METRICS.load(name)
    where = "heart" if failure in {"weak_contraction", "jitter"} else population(name)
    base = _at(name, where, bench, memory)
    broken = findings(name, _spoiled(failure, where, bench, memory))
    told = [
        label
        for label, f in base.items()
        if f.status == "ok" and label in broken and is_seen(broken[label], f, worse_of(metric, f))
    ]
    assert told, {
        k: (base[k].value, f.value, f.p_value, f.reason) for k, f in broken.items() if k in base
    }


def _at(name: str, where: str, bench, memory) -> dict[str, Finding]:
    if where == population(name):
        return honest(name, bench, memory)
    if (name, where) not in memory:
        memory[name, where] = findings(name, bench[where])
    return memory[name, where]


def _spoiled(failure: str, where: str, bench, memory) -> Comparison:
    """The comparison with a spoiled cohort, drawn once; what requests ask for stays."""
    if (failure, where) not in memory:
        comparison = bench[where]
        made = spoil(comparison.synthetic, failure, 1.0, train=comparison.train)
        kept = {k: v for k, v in comparison._made.items() if k.startswith("encoder:")}
        memory[failure, where] = replace(
            comparison, synthetic=cohort_of("synthetic", list(made)), _made=kept
        )
    return memory[failure, where]


def test_every_failure_is_detected_by_some_metric() -> None:
    """A failure that nothing claims to see is a hole in the audit."""
    claimed = {failure for name in NAMES for failure in METRICS.load(name).detects}
    assert set(FAILURES) - claimed == set()


def test_the_nightly_run_detects_what_is_named_here() -> None:
    heavy = {(n, f) for n in NAMES if n.startswith(HEAVY) for f in METRICS.load(n).detects}
    assert heavy == NIGHTLY


def test_monotone_forgives_no_more_than_half_an_interval() -> None:
    def finding(value: float) -> Finding:
        return Finding(metric="m", value=value, low=value - 0.1, high=value + 0.1)

    assert is_monotone([finding(v) for v in (0.1, 0.3, 0.25)], float)
    assert not is_monotone([finding(v) for v in (0.1, 0.5, 0.2)], float)


def test_conditions_follow_the_synthetic_cases(thorax_honest: Cohort) -> None:
    requests, following = with_conditions(thorax_honest)
    assert list(following.conditions) == list(requests.ids)
    assert np.isfinite(following[0].image.array).all()
