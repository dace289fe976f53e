"""Anatomy metrics on phantoms: sizes, missing organs, intensities, symmetry, pieces."""

from dataclasses import replace

import numpy as np
import pytest

from audit.cohort import Case, Cohort, cohort_of
from audit.errors import NotComputable
from audit.estimate import exact
from audit.masks.organ_table import organ_values, reference_frame
from audit.metric import METRICS
from audit.metrics.anatomy import (
    detection_rate,
    joint_anatomy,
    organ_intensity,
    organ_intensity_in_range,
    organ_share,
    organ_volume,
)
from audit.phantoms import spoil
from audit.scoring import measure
from audit.segmenter.own_error import SegmenterError
from audit.volume import LabelMap, Volume

NAMES = [name for name in METRICS.names() if name.startswith("anatomy.")]
SIDES = ("lung_left", "lung_right")


def rng():
    return np.random.default_rng(0)


def spoiled(comparison, failure, strength):
    broken = spoil(comparison.synthetic, failure, strength)
    return replace(comparison, synthetic=cohort_of("synthetic", list(broken)), _made={})


@pytest.fixture(scope="module")
def lacking(thorax_comparison):
    return spoiled(thorax_comparison, "missing_organ", 0.3)


def two_lungs(left=6, right=8, crumb=False):
    """One lung of 2 × 2 × left voxels and one of 2 × 2 × right, at -800 and -700."""
    array = np.zeros((1, 4, 8, 24), dtype=np.int16)
    array[0, :2, :2, :left] = 1
    array[0, 2:, 4:6, :right] = 2
    if crumb:
        array[0, 0, 7, 23] = 1
    image = np.where(array == 1, -800, np.where(array == 2, -700, 0)).astype(np.float32)
    labels = LabelMap(
        array=array, names=dict(zip(SIDES, (1, 2), strict=True)), spacing_mm=(5, 2, 2)
    )
    case = Case(id="c", subject="c", image=Volume(array=image[None], spacing_mm=(5, 2, 2)))
    return labels, case


def test_quantities_follow_from_counting_voxels():
    values = organ_values(*two_lungs(crumb=True), (*SIDES, "spine"))
    assert values["volume_ml.lung_left"] == pytest.approx(25 * 0.02)
    assert values["share_percent.lung_right"] == pytest.approx(100 * 32 / 57)
    assert values["to_lungs.lung_left"] == pytest.approx(25 / 57)
    assert values["intensity.lung_right"] == -700
    assert values["pieces.lung_left"] == 2
    assert values["crumbs_percent.lung_left"] == pytest.approx(4)
    assert values["lung_asymmetry_percent"] == pytest.approx(100 * (25 - 32) / 57)
    assert "does not name spine" in str(values["volume_ml.spine"])


def test_an_absent_organ_has_0_ml_and_no_intensity():
    labels, case = two_lungs(left=0)
    values = organ_values(labels, case, SIDES)
    assert values["volume_ml.lung_left"] == 0
    assert values["detected.lung_left"] == 0
    assert isinstance(values["intensity.lung_left"], NotComputable)
    assert "a lung is missing" in str(values["lung_asymmetry_percent"])


def test_a_cine_is_measured_at_end_diastole(heart_train):
    labels = heart_train[0].labels
    assert labels is not None
    volumes = (labels.array == labels.names["lv"]).sum(axis=(1, 2, 3))
    assert reference_frame(labels) == volumes.argmax()
    assert reference_frame(replace(labels, frames=(3,))) == 3


def test_every_metric_has_floor_and_no_alarm_on_an_honest_cohort(thorax_comparison):
    for name in NAMES:
        findings, _ = measure(name, thorax_comparison)
        assert any(f.status == "ok" for f in findings)
        for finding in findings:
            assert finding.status == "ok" or finding.reason
            assert finding.p_value is None or finding.p_value > 0.01, finding.metric
            if finding.status == "ok" and finding.variant != "all":
                assert finding.reference["real_vs_real"] is not None, finding.metric


def test_every_metric_works_on_hearts(heart_comparison):
    for name in NAMES:
        findings, _ = measure(name, heart_comparison)
        assert all(f.status == "ok" or f.reason for f in findings)


def test_a_missing_organ_shows_in_rate_volume_share_and_joint_law(thorax_comparison, lacking):
    rate = detection_rate.compute(lacking, rng())
    assert rate["lung_left"].estimate.value == pytest.approx(0.71, abs=0.1)
    assert rate["lung_left"].reference["real_vs_real"] == 1
    assert rate["lung_left"].p_value < 0.01
    assert rate["all"].estimate.value == rate["lung_left"].estimate.value
    for metric, variant in (
        (organ_volume, "lung_left"),
        (organ_share, "lung_left"),
        (joint_anatomy, "relative"),
    ):
        honest = metric.compute(thorax_comparison, rng())[variant].estimate.value
        assert metric.compute(lacking, rng())[variant].estimate.value > 2 * honest
    reason = organ_intensity.compute(lacking, rng())["lung_left"]
    assert isinstance(reason, NotComputable)
    assert "since leaving failures out flatters" in reason.reason


def test_organs_at_a_wrong_intensity_leave_the_real_range(thorax_comparison):
    shifted = spoiled(thorax_comparison, "intensity_shift", 0.3)
    honest = organ_intensity_in_range.compute(thorax_comparison, rng())["heart"]
    found = organ_intensity_in_range.compute(shifted, rng())["heart"]
    assert honest.estimate.value > 0.8 > found.estimate.value
    assert honest.reference["real_vs_real"] == pytest.approx(47 / 49)
    assert organ_intensity.compute(shifted, rng())["heart"].p_value < 0.05


def test_without_spacing_there_are_shares_but_no_milliliters(thorax_comparison):
    def read(source):
        case = source.read()
        return replace(case, labels=replace(case.labels, spacing_known=False))

    made = thorax_comparison.synthetic
    sources = [replace(s, read=lambda s=s: read(s)) for s in made.sources]
    unknown = replace(thorax_comparison, synthetic=Cohort("synthetic", sources), _made={})
    volume = organ_volume.compute(unknown, rng())["heart"]
    assert isinstance(volume, NotComputable)
    assert "spacing is unknown" in volume.reason
    assert organ_share.compute(unknown, rng())["heart"].estimate.value >= 0


def test_a_structure_that_the_segmenter_cannot_see_has_a_reason_not_zero(thorax_comparison):
    given = thorax_comparison.labels()
    dice = {s: exact(0.0 if s == "nodule" else 0.9, 24) for s in given.maps["train"][0].names}
    poor = replace(given, source="built-in", error=SegmenterError(dice=dice))
    comparison = replace(thorax_comparison, _made={"labels": poor})
    for metric in (organ_volume, detection_rate, organ_share):
        found = metric.compute(comparison, rng())
        assert isinstance(found["nodule"], NotComputable), metric
        assert not isinstance(found["heart"], NotComputable), metric
    joint = joint_anatomy.compute(comparison, rng())["relative"]
    assert "nodule" not in joint.params["structures"]
