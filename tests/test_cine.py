"""The heart's function from label maps: closed forms, analytic phantoms, and inputs without one."""

import numpy as np
import pytest

from audit.errors import NotComputable
from audit.heart.cine import cardiac_function, read_cycle
from audit.heart.course import cardiac_rates, self_consistency
from audit.phantoms import heart_cohort
from audit.phantoms.heart import draw_heart, ejected_share
from audit.volume import LabelMap

NAMES = {"rv": 1, "myocardium": 2, "lv": 3}


def beating_box(areas, *, spacing=(10.0, 2.0, 2.0), rv=True, myo=8, **kwargs):
    """A cine whose LV has the given number of voxels in each of 4 slices, frame by frame."""
    array = np.zeros((len(areas), 4, 24, 24), dtype=np.int16)
    for t, n in enumerate(areas):
        for z in range(4):
            flat = array[t, z].reshape(-1)
            flat[:n] = 3
            flat[300 : 300 + myo] = 2
            if rv:
                flat[400 : 400 + n] = 1
    return LabelMap(array=array, names=NAMES, spacing_mm=spacing, **kwargs)


def test_volumes_follow_from_counting_voxels():
    function = cardiac_function(read_cycle(beating_box([100, 60, 40, 80], frame_ms=250.0)))
    assert function["lv_edv_ml"] == pytest.approx(4 * 100 * 0.04)
    assert function["lv_esv_ml"] == pytest.approx(4 * 40 * 0.04)
    assert function["lv_sv_ml"] == pytest.approx(4 * 60 * 0.04)
    assert function["lv_ef_percent"] == pytest.approx(60)
    assert function["rv_ef_percent"] == pytest.approx(60)
    assert function["lv_mass_g"] == pytest.approx(1.05 * 4 * 8 * 0.04)
    assert function["lv_co_l_min"] == pytest.approx(4 * 60 * 0.04 * 60 / 1000)  # a cycle of 1 s


def test_indexed_values_need_a_body_surface():
    cycle = read_cycle(beating_box([100, 40]))
    assert cardiac_function(cycle, bsa_m2=2.0)["lv_edvi_ml_m2"] == pytest.approx(8)
    reason = cardiac_function(cycle)["lv_edvi_ml_m2"]
    assert "body surface area is unknown" in str(reason)


def test_without_spacing_there_are_ratios_but_no_milliliters():
    function = cardiac_function(read_cycle(beating_box([100, 40], spacing_known=False)))
    assert "spacing is unknown; expected a voxel size in mm" in str(function["lv_edv_ml"])
    assert isinstance(function["lv_mass_g"], NotComputable)
    assert function["lv_ef_percent"] == pytest.approx(60)
    assert function["rv_edv_per_lv_edv"] == pytest.approx(1)


def test_an_unlabeled_frame_is_not_an_empty_heart():
    labels = beating_box([100, 0, 40, 0], frames=(0, 2))
    assert cardiac_function(read_cycle(labels))["lv_ef_percent"] == pytest.approx(60)


def test_given_frames_win_over_the_volumes():
    labels = beating_box([100, 60, 40, 80])
    function = cardiac_function(read_cycle(labels, ed=3, es=1))
    assert function["lv_ef_percent"] == pytest.approx(25)


def test_a_given_frame_without_labels_is_refused_and_not_replaced():
    labels = beating_box([100, 60, 40, 80], frames=(0, 2))
    with pytest.raises(NotComputable, match=r"end-systole is given as frame 1, which carries no"):
        read_cycle(labels, ed=0, es=1)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (beating_box([100]), r"1 labeled frame; expected at least two: a cine"),
        (beating_box([100, 0, 40]), r"left ventricle is empty in 1 of 3 frames"),
        (
            LabelMap(array=beating_box([100, 40]).array[:, :1], names=NAMES, spacing_mm=(10, 1, 1)),
            r"a single slice; expected a stack of slices",
        ),
        (
            LabelMap(array=np.ones((3, 4, 8, 8), np.int16), names={"rv": 1}, spacing_mm=(8, 1, 1)),
            r"the label map has no lv",
        ),
    ],
)
def test_a_heart_that_cannot_be_measured_says_why(labels, why):
    with pytest.raises(NotComputable, match=why):
        read_cycle(labels)


def test_a_missing_right_ventricle_leaves_the_left_one():
    function = cardiac_function(read_cycle(beating_box([100, 40], rv=False)))
    assert function["lv_ef_percent"] == pytest.approx(60)
    assert "the label map has no rv" in str(function["rv_ef_percent"])


BEAT = [100, 92, 78, 60, 44, 40, 52, 70, 82, 86, 90, 96]


def test_one_smooth_beat_is_consistent():
    labels = beating_box(BEAT)
    course = self_consistency(read_cycle(labels), labels)
    assert course["contractions"] == 1
    assert course["reversal_percent"] == pytest.approx(0)
    assert course["closure_percent"] == pytest.approx(100 * 4 / 60)
    assert course["myocardium_range_percent"] == 0
    assert course["sv_mismatch_percent"] == 0


def test_the_beat_may_start_at_any_frame():
    reference = cardiac_rates(read_cycle(beating_box(BEAT)))
    turned = cardiac_rates(read_cycle(beating_box(np.roll(BEAT, 5).tolist())))
    assert turned["lv_time_to_es_fraction"] == reference["lv_time_to_es_fraction"] == 5 / 12
    assert turned["lv_peak_ejection_edv_per_cycle"] == pytest.approx(18 / 100 * 12)
    assert turned["lv_peak_filling_edv_per_cycle"] == pytest.approx(18 / 100 * 12)


def test_rates_in_ml_per_second_need_time_and_spacing():
    rates = cardiac_rates(read_cycle(beating_box(BEAT, frame_ms=1000 / 12)))
    assert rates["lv_peak_ejection_ml_s"] == pytest.approx(18 * 4 * 0.04 * 12)
    unknown = cardiac_rates(read_cycle(beating_box(BEAT)))["lv_peak_ejection_ml_s"]
    assert "time between frames is unknown" in str(unknown)


def test_two_beats_in_a_cycle_are_counted():
    labels = beating_box(BEAT[::2] + BEAT[::2])
    course = self_consistency(read_cycle(labels), labels)
    assert course["contractions"] == 2
    assert course["reversal_percent"] == pytest.approx(100, abs=15)


@pytest.mark.parametrize("frames", [10, 12, 20])
def test_frames_out_of_order_have_no_course_and_frames_in_order_do(frames):
    """Hearts and permutations not tuned on; EF, a matter of two volumes, needs no order."""
    rng = np.random.default_rng(frames)
    refused = []
    for _ in range(60):
        beat = 100 - 60 * ejected_share(draw_heart(rng, "MINF"), frames)
        noisy = np.round(beat + rng.normal(0, 1.5, frames)).astype(int)
        assert isinstance(
            cardiac_rates(read_cycle(beating_box(noisy)))["lv_time_to_es_fraction"], float
        )
        shuffled = read_cycle(beating_box(rng.permutation(noisy)))
        reason = cardiac_rates(shuffled)["lv_time_to_es_fraction"]
        refused.append("frames out of order" in str(reason))
        assert isinstance(cardiac_function(shuffled)["lv_ef_percent"], float)
    assert np.mean(refused) > 0.85


def test_a_heart_with_two_labeled_frames_has_no_course():
    labels = beating_box(BEAT, frames=(0, 5))
    course = self_consistency(read_cycle(labels), labels)
    assert "2 of 12 frames are labeled" in str(course["contractions"])
    assert course["sv_mismatch_percent"] == 0


def test_a_jump_between_slices_or_frames_is_seen():
    honest = heart_cohort(1, seed=5, frames=8)[0].labels
    assert honest is not None
    moved = {"slice": honest.array.copy(), "frame": honest.array.copy()}
    moved["slice"][:, 7] = np.roll(honest.array[:, 7], 6, axis=-1)
    moved["frame"][3] = np.roll(honest.array[3], 6, axis=-1)
    before = self_consistency(read_cycle(honest), honest)
    for kind, array in moved.items():
        labels = LabelMap(array=array, names=honest.names, spacing_mm=honest.spacing_mm)
        after = self_consistency(read_cycle(labels), labels)
        assert after[f"{kind}_jump_percent"] > 2 * before[f"{kind}_jump_percent"]


@pytest.mark.parametrize(("size", "percent"), [(32, 6.0), (48, 4.0), (64, 3.0)])
def test_function_of_phantoms_agrees_with_their_analytic_truth(size, percent):
    """The error of a rasterized volume shrinks with the voxel; EF, a ratio, is within 2 points."""
    for case in heart_cohort(3, seed=11, size=size, frames=6):
        assert case.labels is not None
        function = cardiac_function(read_cycle(case.labels))
        truth = case.attributes
        for name in ("lv_edv_ml", "lv_esv_ml", "rv_edv_ml", "rv_esv_ml", "lv_mass_g"):
            assert function[name] == pytest.approx(truth[name], rel=percent / 100)
        assert function["lv_ef_percent"] == pytest.approx(truth["lv_ef_percent"], abs=2)
