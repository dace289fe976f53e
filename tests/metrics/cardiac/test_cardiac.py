"""Cardiac metrics on phantoms: an honest cohort passes, planted failures do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from audit.cohort import Cohort, cohort_of
from audit.errors import NotComputable
from audit.estimate import exact
from audit.heart.rules import RULES
from audit.heart.table import heart_values
from audit.metric import METRICS
from audit.metrics.cardiac import (
    ejection_fraction,
    filling_rate,
    flow_rate,
    function_by_group,
    implausible_rate,
    joint_function,
    self_consistency,
    time_to_systole,
    ventricular_volume,
    volume_curve,
)
from audit.phantoms import spoil
from audit.scoring import measure
from audit.segmenter import SegmenterError

NAMES = [name for name in METRICS.names() if name.startswith("cardiac.")]


def rng():
    return np.random.default_rng(0)


def spoiled(comparison, failure, strength):
    broken = spoil(comparison.synthetic, failure, strength)
    return replace(comparison, synthetic=cohort_of("synthetic", list(broken)), _made={})


@pytest.fixture(scope="module")
def weak(heart_comparison):
    return spoiled(heart_comparison, "weak_contraction", 0.5)


def relabeled(comparison, change, role="synthetic"):
    """The comparison with every label map of a role passed through ``change``."""
    cohort = comparison.cohort(role)

    def read(source):
        case = source.read()
        return replace(case, labels=change(case.labels))

    changed = Cohort(role, [replace(s, read=lambda s=s: read(s)) for s in cohort.sources])
    return replace(comparison, **{role: changed}, _made={})


def test_every_metric_gives_numbers_with_floor_on_an_honest_cohort(heart_comparison):
    for name in NAMES:
        findings, _ = measure(name, heart_comparison)
        assert findings
        for finding in findings:
            assert finding.status == "ok", finding
            if "function_by_group" not in name:
                assert finding.reference["real_vs_real"] is not None
            assert finding.p_value is None or finding.p_value > 0.01, finding.metric


def test_per_case_columns_are_named_as_agreed(heart_comparison):
    columns = set()
    for name in ("cardiac.ventricular_volume", "cardiac.ejection_fraction"):
        cases = measure(name, heart_comparison)[1]
        assert cases is not None
        columns |= set(cases)
        assert set(cases["role"]) == {"train", "holdout", "synthetic"}
        real = cases[cases["role"] != "synthetic"]["id"]
        assert not set(real) & {*heart_comparison.train.ids, *heart_comparison.holdout.ids}
    assert {"cardiac.lv_edv_ml", "cardiac.lv_esv_ml", "cardiac.lv_sv_ml"} <= columns
    assert {"cardiac.lv_ef_percent", "cardiac.rv_ef_percent"} <= columns


def test_given_frames_are_used_only_where_asked_for(heart_comparison):
    case = heart_comparison.holdout[0]
    told = replace(case, attributes={**case.attributes, "ed_frame": 1, "es_frame": 2})
    by_volume = heart_values(case.labels, told)["lv_ef_percent"]
    given = heart_values(case.labels, told, given_frames=True)["lv_ef_percent"]
    assert by_volume == heart_values(case.labels, case)["lv_ef_percent"]
    assert given < by_volume


def test_real_and_synthetic_are_read_by_one_instrument(heart_comparison):
    """A network that draws every cavity too small biases both cohorts, and no more."""
    given = heart_comparison.labels()

    def shrunk(labels):
        array = labels.array.copy()
        cavity = array == labels.names["lv"]
        inner = np.stack([binary_erosion(f, iterations=1) for f in cavity])
        array[cavity & ~inner] = labels.names["myocardium"]
        return replace(labels, array=array)

    network = replace(
        given,
        source="built-in",
        maps={**given.maps, "synthetic": [shrunk(m) for m in given.maps["synthetic"]]},
        segmented={"holdout": [shrunk(m) for m in given.maps["holdout"]]},
        error=SegmenterError(
            dice={s: exact(0.9, 24) for s in ("lv", "rv", "myocardium")},
            ef_bias=exact(8.0, 24),
            ef_limits_of_agreement=(2.0, 14.0),
            rv_ef_bias=exact(-1.0, 24),
        ),
    )
    biased = replace(heart_comparison, _made={"labels": network})
    before = ejection_fraction.compute(heart_comparison, rng())["lv"]
    after = ejection_fraction.compute(biased, rng())["lv"]
    assert after.reference["real_mean"] > before.reference["real_mean"] + 5
    assert after.reference["mean_shift"] == pytest.approx(before.reference["mean_shift"], abs=2)
    assert after.reference["segmenter_bias"] == 8
    assert after.reference["segmenter_bias_low"] == 2
    assert ejection_fraction.compute(biased, rng())["rv"].reference["segmenter_bias"] == -1
    assert after.params["holdout_maps"] == "segmented"


def test_weak_contraction_is_a_shift_of_ejection_fraction(weak):
    found = ejection_fraction.compute(weak, rng())["lv"]
    assert found.reference["mean_shift_high"] < 0
    assert found.estimate.value > found.reference["real_vs_real_high"]
    assert found.p_value < 0.05
    assert found.params["ks_p_holm"] < 0.05
    assert joint_function.compute(weak, rng())["relative"].p_value < 0.05


def test_mean_and_standard_deviation_stand_side_by_side(heart_comparison):
    found = ejection_fraction.compute(heart_comparison, rng())["lv"]
    truth = [c.attributes["lv_ef_percent"] for c in heart_comparison.holdout]
    assert found.reference["real_mean"] == pytest.approx(np.mean(truth), abs=1)
    assert found.reference["real_sd"] == pytest.approx(np.std(truth, ddof=1), abs=1)
    assert len(found.series["quantile_shift"]) == 5


@pytest.mark.parametrize(("failure", "variant"), [("jitter", "frames"), ("slice_shift", "slices")])
def test_motion_that_no_heart_makes_is_inconsistent(heart_comparison, failure, variant):
    found = self_consistency.compute(spoiled(heart_comparison, failure, 0.3), rng())[variant]
    assert found.p_value < 0.05
    assert found.reference["synthetic_mean"] > 2 * found.reference["real_mean"]


def test_hearts_without_a_right_ventricle_are_implausible_and_never_dropped(heart_comparison):
    missing = spoiled(heart_comparison, "missing_organ", 0.3)
    rate = implausible_rate.compute(missing, rng())
    assert rate["all"].estimate.value > 0.2
    assert rate["all"].reference["real_vs_real"] == 0
    reason = ejection_fraction.compute(missing, rng())["rv"]
    assert isinstance(reason, NotComputable)
    assert "since leaving failures out flatters" in reason.reason


def test_every_rule_has_a_source_and_its_limits_are_in_the_result(heart_comparison):
    found = implausible_rate.compute(heart_comparison, rng())["all"]
    assert found.params["rules"] == [r.as_params() for r in RULES]
    assert all(rule.source for rule in RULES)


def test_an_ejection_fraction_of_2_percent_is_implausible(heart_comparison):
    def still(labels):
        array = np.broadcast_to(labels.array[:1], labels.array.shape).copy()
        array[2, 8, 14, 14] = 0  # one voxel, lest it be motionless
        return replace(labels, array=array)

    rate = implausible_rate.compute(relabeled(heart_comparison, still), rng())
    assert rate["lv_ejection_fraction"].estimate.value > 0.9


def test_without_spacing_only_ratios_remain(heart_comparison):
    unknown = relabeled(heart_comparison, lambda labels: replace(labels, spacing_known=False))
    volumes = ventricular_volume.compute(unknown, rng())
    assert all(isinstance(v, NotComputable) for v in volumes.values())
    assert "spacing is unknown" in volumes["lv_edv"].reason
    assert ejection_fraction.compute(unknown, rng())["lv"].estimate.value >= 0
    joint = joint_function.compute(unknown, rng())
    assert isinstance(joint["absolute"], NotComputable)
    assert joint["relative"].estimate.value >= 0


def test_real_hearts_labeled_at_two_frames_still_give_ejection_fractions(heart_comparison):
    def ed_and_es(labels):
        lv = (labels.array == labels.names["lv"]).sum(axis=(1, 2, 3))
        kept = tuple(sorted({int(lv.argmax()), int(lv.argmin())}))
        array = np.zeros_like(labels.array)
        array[list(kept)] = labels.array[list(kept)]
        return replace(labels, array=array, frames=kept)

    sparse = heart_comparison
    for role in ("train", "holdout"):
        sparse = relabeled(sparse, ed_and_es, role)
    before = ejection_fraction.compute(heart_comparison, rng())["lv"]
    after = ejection_fraction.compute(sparse, rng())["lv"]
    assert after.estimate.value == before.estimate.value
    curve = volume_curve.compute(sparse, rng())["lv"]
    assert isinstance(curve, NotComputable)


def _bad_hearts(labels):
    """Label maps of one heart that has, frame by frame, what the issue lists as bad input."""
    order = np.random.default_rng(4).permutation(len(labels.array))
    emptied, lv, rv = labels.array.copy(), labels.names["lv"], labels.names["rv"]
    emptied[2][emptied[2] == lv] = 0
    without_rv = np.where(labels.array == rv, 0, labels.array).astype(np.int16)
    return {
        "shuffled": replace(labels, array=labels.array[order]),
        "empty frame": replace(labels, array=emptied),
        "single frame": replace(labels, frames=(0,)),
        "no rv": replace(labels, array=without_rv),
        "unnamed": replace(labels, names={}),
    }


SHUFFLED = "contracts 3 times (frames out of order"


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        (
            "shuffled",
            [
                (flow_rate, "filling", SHUFFLED),
                (filling_rate, "ejection", SHUFFLED),
                (time_to_systole, "lv", SHUFFLED),
                (volume_curve, "rv", SHUFFLED),
            ],
        ),
        ("empty frame", [(ejection_fraction, "lv", "is empty in 1 of 8 frames")]),
        ("single frame", [(ejection_fraction, "lv", "1 labeled frame")]),
        (
            "no rv",
            [
                (ejection_fraction, "rv", "the label map has no rv"),
                (ventricular_volume, "rv_edv", "the label map has no rv"),
            ],
        ),
        ("unnamed", [(ejection_fraction, "lv", "names no structure")]),
    ],
)
def test_bad_label_maps_of_synthetic_hearts_give_a_reason(heart_comparison, kind, reasons):
    few = replace(heart_comparison, synthetic=heart_comparison.synthetic.subset(range(6)))
    bad = relabeled(few, lambda labels: _bad_hearts(labels)[kind])
    for metric, variant, why in reasons:
        found = metric.compute(bad, rng())[variant]
        assert isinstance(found, NotComputable)
        assert why in found.reason


def test_groups_are_compared_with_their_own_kind(heart_comparison, weak):
    found = function_by_group.compute(heart_comparison, rng())
    assert set(found) == {"DCM", "HCM", "MINF", "NOR", "RV"}
    feeble = function_by_group.compute(weak, rng())
    assert feeble["NOR"].estimate.value > found["NOR"].estimate.value
    assert feeble["NOR"].params["p_unadjusted"] < 0.05


def test_the_curves_for_the_figure_start_at_end_diastole(heart_comparison):
    series = volume_curve.compute(heart_comparison, rng())["lv"].series
    assert series["phase"][0] == 0
    for name in ("real", "synthetic"):
        assert series[f"{name}_median"][0] == 1
        assert min(series[f"{name}_median"]) == pytest.approx(0.5, abs=0.2)
        assert np.all(np.array(series[f"{name}_low"]) <= series[f"{name}_high"])
