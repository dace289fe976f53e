import numpy as np
import pytest

from audit.cohort import Cohort, refuse_shared_subjects
from audit.errors import BadInput
from audit.phantoms import heart_cohort, thorax_cohort, with_conditions
from audit.phantoms.heart import GROUPS, NAMES, draw_heart, ejected_share
from audit.phantoms.heart_shape import grid_of, label, occupancy, shape_at

GRIDS = [
    ((16, 32, 32), (9.5, 4.75, 4.75)),
    ((32, 64, 64), (4.75, 2.375, 2.375)),
    ((20, 80, 60), (8.0, 2.0, 2.6)),
    ((76, 76, 76), (2.0, 2.0, 2.0)),
]


def rasterized_ml(heart, grid_shape, spacing, ejected) -> dict[str, tuple[float, float]]:
    """Volume and discretization bound of each structure, in mL.

    A voxel's label follows its larger share, so only voxels that a border crosses can err, by
    half of themselves at most; over many of them with independent signs the errors add as a
    random walk. Three such standard deviations plus 0.7 % are the bound.
    """
    grid = grid_of(heart, grid_shape, spacing)
    codes = label(occupancy(grid, heart, shape_at(heart, ejected)), grid.split)
    voxel_ml = float(np.prod(spacing)) / 1000
    found = {}
    for name, code in NAMES.items():
        mask = codes == code
        crossed = sum(int((np.diff(mask, axis=axis) != 0).sum()) for axis in range(3))
        volume = mask.sum() * voxel_ml
        found[name] = (volume, 3 * 0.29 * voxel_ml * crossed**0.5 + 0.007 * volume)
    return found


@pytest.mark.parametrize(("grid_shape", "spacing"), GRIDS)
@pytest.mark.parametrize("group", GROUPS)
def test_rasterized_volumes_agree_with_the_analytic_ones(grid_shape, spacing, group):
    for seed in range(3):
        heart = draw_heart(np.random.default_rng(seed), group)
        for ejected, lv, rv in (
            (0.0, heart.lv_edv_ml, heart.rv_edv_ml),
            (1.0, heart.lv_esv_ml, heart.rv_esv_ml),
        ):
            found = rasterized_ml(heart, grid_shape, spacing, ejected)
            truth = {"lv": lv, "rv": rv, "myocardium": heart.lv_mass_g / 1.05}
            for name, expected in truth.items():
                volume, bound = found[name]
                assert abs(volume - expected) <= bound + 0.012 * expected * (name == "rv"), name


def test_function_measured_on_a_cohort_is_unbiased():
    ef_errors, mass_errors = [], []
    for case in heart_cohort(20, seed=3, frames=4):
        volumes = case.labels.mask("lv").sum(axis=(1, 2, 3))
        ef_errors.append(
            100 * (1 - volumes.min() / volumes.max()) - case.attributes["lv_ef_percent"]
        )
        mass = case.labels.mask("myocardium")[0].sum() * case.image.voxel_ml * 1.05
        mass_errors.append(mass / case.attributes["lv_mass_g"] - 1)
    assert abs(np.mean(ef_errors)) < 0.6
    assert np.max(np.abs(ef_errors)) < 2.5
    assert abs(np.mean(mass_errors)) < 0.015


def test_myocardial_volume_is_constant_over_the_beat():
    for case in heart_cohort(2, seed=4, size=64, frames=5):
        volumes = case.labels.mask("myocardium").sum(axis=(1, 2, 3))
        assert volumes.std() / volumes.mean() < 0.02


def test_the_base_descends_through_the_slices():
    case = heart_cohort(1, seed=4, size=64, frames=4)[0]
    es = int(case.attributes["es_frame"])
    heights = case.labels.mask("lv").any(axis=(2, 3))
    highest = [int(np.flatnonzero(heights[t])[-1]) for t in (0, es)]
    assert highest[1] < highest[0]


@pytest.mark.parametrize("frames", [2, 8, 12, 25])
def test_volume_curve_has_one_contraction_and_an_atrial_kick(frames):
    curve = ejected_share(draw_heart(np.random.default_rng(0), "NOR"), frames)
    es = int(curve.argmax())
    assert curve[0] == 0
    assert curve[es] == 1
    assert (np.diff(curve[: es + 1]) > 0).all()
    assert (np.diff(curve[es:]) < 0).all()
    if frames >= 12:
        filling = -np.diff(curve[es:])
        middle = len(filling) // 2
        assert filling[:middle].max() > 2 * filling[middle]
        assert filling[middle:].max() > filling[middle]


def test_groups_have_the_function_that_defines_them():
    hearts = {g: [draw_heart(np.random.default_rng([i, 7]), g) for i in range(40)] for g in GROUPS}
    ef = {g: np.mean([1 - h.lv_esv_ml / h.lv_edv_ml for h in hearts[g]]) for g in GROUPS}
    edv = {g: np.mean([h.lv_edv_ml / h.bsa_m2 for h in hearts[g]]) for g in GROUPS}
    assert ef["DCM"] < 0.4
    assert ef["MINF"] < 0.4
    assert ef["HCM"] > 0.55
    assert edv["DCM"] > 100 > edv["NOR"]
    assert np.mean([h.rv_edv_ml / h.bsa_m2 for h in hearts["RV"]]) > 110


def test_hearts_stay_inside_the_field():
    touching = 0
    for case in heart_cohort(40, seed=11, frames=1):
        any_label = case.labels.array > 0
        touching += any(any_label.take(k, axis=a).any() for a in (1, 2, 3) for k in (0, -1))
    assert touching <= 2


def test_no_voxel_is_undefined_where_it_lies_on_the_center_of_a_muscle():
    assert np.isfinite(heart_cohort(41, seed=4, frames=1)[40].image.array).all()


@pytest.mark.parametrize("size", [32, 48])
def test_thorax_has_hounsfield_units_and_all_organs(size):
    for case in thorax_cohort(3, seed=1, size=size):
        assert case.image.shape == (1, 1, size, size, size)
        lung = case.labels.mask("lung_left")
        assert -980 < np.median(case.image.array[0][lung]) < -640
        spine = case.labels.mask("spine")
        assert np.median(case.image.array[0][spine]) > 90
        present = {n for n in case.labels.names if case.labels.mask(n).any()}
        assert present >= {"body", "lung_left", "lung_right", "heart", "aorta", "spine"}
        assert case.labels.mask("heart").sum() * case.image.voxel_ml == pytest.approx(
            case.attributes["heart_ml"], rel=0.04
        )


def test_the_heart_lies_left_and_the_liver_side_lung_is_larger():
    for case in thorax_cohort(6, seed=2):
        x = np.arange(case.image.shape[4])
        mask = case.labels.mask("heart")
        assert (mask.sum(axis=(0, 1, 2)) * x).sum() / mask.sum() < (len(x) - 1) / 2
        sides = [case.labels.mask(f"lung_{s}").sum(axis=(0, 1, 2)) for s in ("left", "right")]
        centers = [(s * x).sum() / s.sum() for s in sides]
        assert centers[0] < centers[1]


def test_half_of_the_patients_have_a_nodule_unless_told_otherwise():
    with_nodule = [c.labels.mask("nodule").any() for c in thorax_cohort(20, seed=3)]
    assert 4 <= sum(with_nodule) <= 16
    assert not any(c.labels.mask("nodule").any() for c in thorax_cohort(6, nodules=False))


@pytest.mark.parametrize("make", [thorax_cohort, heart_cohort])
def test_same_seed_same_patients_and_a_longer_cohort_starts_with_the_shorter(make):
    short, long = make(3, seed=5), make(5, seed=5)
    assert short.case_hashes == long.case_hashes[:3]
    assert set(make(3, seed=6).case_hashes).isdisjoint(long.case_hashes)


def test_populations_of_two_seeds_share_no_subject(heart_train: Cohort, heart_holdout: Cohort):
    refuse_shared_subjects(heart_train, heart_holdout)


def test_conditions_are_the_masks_that_the_cases_name(heart_honest: Cohort):
    conditions, synthetic = with_conditions(heart_honest)
    assert synthetic.conditions == conditions.ids
    assert (conditions[0].image.array[0] == heart_honest[0].labels.array).all()


def test_a_phantom_below_32_voxels_is_refused():
    with pytest.raises(BadInput, match="24 voxels was asked for; expected 32 or more"):
        heart_cohort(1, size=24)


def test_a_cohort_of_64_takes_under_a_minute():
    import time

    start = time.process_time()
    thorax_cohort(8, seed=9)
    heart_cohort(8, seed=9)
    assert (time.process_time() - start) * 8 < 60
