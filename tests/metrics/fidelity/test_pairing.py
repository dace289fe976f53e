"""From cohorts to pools: one volume a subject, equal n, classes, extractors apart."""

from dataclasses import replace

import numpy as np
import pytest

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.pairing import by_extractor, picked, pool_for, subsampling
from audit.metric import METRICS


def renamed(comparison: Comparison, role: str, subjects: list[str]) -> Comparison:
    """The same volumes as if of other subjects."""
    from audit.cohort import cohort_of

    cases = [
        replace(case, subject=s)
        for case, s in zip(getattr(comparison, role), subjects, strict=True)
    ]
    return replace(comparison, **{role: cohort_of(role, cases)}, _made={})


def test_both_sides_have_the_same_n_and_the_result_says_what_was_left(thorax_comparison) -> None:
    few = replace(
        thorax_comparison, synthetic=thorax_comparison.synthetic.subset(range(10)), _made={}
    )
    picks = picked(few)
    assert len(picks["holdout"]) == len(picks["synthetic"]) == 10
    assert subsampling(few, 10) == "one volume a subject, equal n: 10 of 24 holdout volumes"
    found = METRICS.load("fidelity.kernel_distance").compute(few, np.random.default_rng(0))
    assert found["intensity"].estimate.n == 10
    assert "10 of 24" in found["intensity"].params["subsampling"]


def test_floor_has_the_n_of_the_value(thorax_comparison) -> None:
    """Ten hold-out and four train subjects allow a floor, and so a value, at n = 7."""
    few = replace(
        thorax_comparison,
        train=thorax_comparison.train.subset(range(4)),
        holdout=thorax_comparison.holdout.subset(range(10)),
        _made={},
    )
    assert len(picked(few)["synthetic"]) == 7
    assert (
        "real_vs_real"
        in METRICS.load("fidelity.precision")
        .compute(few, np.random.default_rng(0))["intensity"]
        .reference
    )


def test_several_volumes_of_a_subject_count_once(thorax_comparison) -> None:
    pairs = renamed(thorax_comparison, "holdout", [f"s{k // 2}" for k in range(24)])
    assert len(picked(pairs)["holdout"]) == 12
    one_patient = renamed(thorax_comparison, "holdout", ["s"] * 24)
    with pytest.raises(NotComputable, match=r"1 subjects a side.*at least 4"):
        picked(one_patient)


def test_classes_are_compared_within_themselves(thorax_comparison) -> None:
    found = METRICS.load("fidelity.class_conditional_kernel_distance").compute(
        thorax_comparison, np.random.default_rng(0)
    )
    groups = {g for g in thorax_comparison.synthetic.groups if g}
    assert {name.partition("/")[2] for name in found} == groups
    group = sorted(groups)[0]
    pool = pool_for(thorax_comparison, "intensity", group=group)
    assert len(pool.synthetic) <= thorax_comparison.synthetic.groups.count(group)


def test_one_extractor_that_fails_leaves_the_other_alone(thorax_comparison) -> None:
    both = replace(thorax_comparison, extractor_names=("intensity", "local_volumes"), _made={})
    metric = METRICS.load("fidelity.kernel_distance")
    found = metric.compute(both, np.random.default_rng(0))
    alone = metric.compute(thorax_comparison, np.random.default_rng(0))
    assert isinstance(found["local_volumes"], NotComputable)
    assert found["intensity"].estimate == alone["intensity"].estimate
    with pytest.raises(NotComputable, match="no extractor is configured"):
        by_extractor(replace(both, extractor_names=()), np.random.default_rng(0), None)


def test_frechet_distance_says_what_its_bias_line_needs(thorax_comparison) -> None:
    found = METRICS.load("fidelity.frechet_distance").compute(
        thorax_comparison, np.random.default_rng(0)
    )["intensity"]
    assert found.params["bias_line"] == "none: fewer volumes than features"
    assert found.params["mean_term"] + found.params["covariance_term"] == pytest.approx(
        found.estimate.value
    )
    assert found.reference["null"] > 0
    assert found.params["verdict"] in {"not distinguishable at this n", "n too small to say"}
