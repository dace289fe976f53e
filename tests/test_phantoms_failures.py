import numpy as np
import pytest

from audit.cohort import Cohort
from audit.errors import BadInput
from audit.phantoms import FAILURES, heart_cohort, spoil, thorax_cohort

STRENGTHS = (0.1, 0.3, 1.0)
SHARES = ("collapse", "copying", "missing_organ")


@pytest.fixture(scope="module")
def hearts() -> Cohort:
    return heart_cohort(10, role="holdout", seed=21, frames=8)


@pytest.fixture(scope="module")
def chests() -> Cohort:
    return thorax_cohort(10, role="holdout", seed=21)


def images(cohort: Cohort) -> np.ndarray:
    return np.stack([c.image.array for c in cohort])


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_grows_with_its_strength(failure, hearts, heart_train):
    few = hearts if failure in SHARES else hearts.subset(range(3))
    honest = images(few)
    change = []
    for strength in STRENGTHS:
        spoiled = spoil(few, failure, strength, train=heart_train)
        assert spoiled.role == "synthetic"
        assert spoiled.ids == few.ids
        assert np.isfinite(images(spoiled)).all()
        change.append(np.abs(images(spoiled) - honest).mean())
    assert 0 < change[0] < change[1] < change[2]


@pytest.mark.parametrize(
    "failure", [f for f in FAILURES if f not in ("weak_contraction", "jitter")]
)
def test_a_failure_can_be_planted_in_static_volumes(failure, chests, thorax_train):
    spoiled = spoil(chests, failure, 0.3, train=thorax_train)
    assert np.abs(images(spoiled) - images(chests)).mean() > 0


@pytest.mark.parametrize("failure", FAILURES)
def test_the_same_seed_spoils_alike_and_reading_twice_gives_the_same(failure, hearts, heart_train):
    few = hearts.subset(range(3))
    one, two = (spoil(few, failure, 0.3, seed=4, train=heart_train) for _ in range(2))
    assert one.hash == two.hash
    assert (images(one) == images(two)).all()
    assert spoil(few, failure, 0.3, seed=5, train=heart_train).hash != one.hash


def test_ejection_fraction_falls_by_the_stated_share(hearts):
    def ef(case):
        volumes = case.labels.mask("lv").sum(axis=(1, 2, 3))
        return 1 - volumes.min() / volumes.max()

    few = hearts.subset(range(5))
    for strength in STRENGTHS:
        weak = list(spoil(few, "weak_contraction", strength))
        ratios = [ef(w) / ef(h) for w, h in zip(weak, few, strict=True)]
        assert np.mean(ratios) == pytest.approx(1 - 0.6 * strength, abs=0.03)
        truth = [c.attributes["lv_ef_percent"] for c in weak]
        assert truth[0] == pytest.approx(
            hearts[0].attributes["lv_ef_percent"] * (1 - 0.6 * strength)
        )


def test_weak_hearts_keep_their_myocardium(hearts):
    for weak in spoil(hearts.subset(range(5)), "weak_contraction", 1.0):
        volumes = weak.labels.mask("myocardium").sum(axis=(1, 2, 3))
        assert volumes.std() / volumes.mean() < 0.09


def test_a_shifted_mask_moves_by_whole_voxels(chests):
    shifted = spoil(chests, "mask_shift", 0.3)
    for before, after in zip(chests, shifted, strict=True):
        assert (after.labels.array[..., 2:] == before.labels.array[..., :-2]).all()
        assert (after.image.array[..., 2:] == before.image.array[..., :-2]).all()


@pytest.mark.parametrize(("strength", "count"), [(0.1, 1), (0.3, 3), (1.0, 10)])
def test_one_organ_is_missing_in_the_stated_share(strength, count, hearts, chests):
    for cohort, organ in ((hearts, "rv"), (chests, "lung_left")):
        gone = [not c.labels.mask(organ).any() for c in spoil(cohort, "missing_organ", strength)]
        assert sum(gone) == count


def test_a_missing_lung_is_no_longer_air(chests):
    before, after = chests[0], spoil(chests, "missing_organ", 1.0)[0]
    lung = before.labels.mask("lung_left")
    assert np.median(after.image.array[0][lung]) > -300


def test_copies_resemble_a_train_case_and_the_rest_stays(chests, thorax_train):
    spoiled = spoil(chests, "copying", 0.3, train=thorax_train)
    train = images(thorax_train).reshape(len(thorax_train), -1)
    changed = [
        i
        for i, (a, b) in enumerate(zip(chests, spoiled, strict=True))
        if not (a.image.array == b.image.array).all()
    ]
    assert len(changed) == 3
    for i, case in enumerate(spoiled):
        best = max(np.corrcoef(case.image.array.ravel(), row)[0, 1] for row in train)
        assert not np.isclose(best, 1, atol=1e-3)
        assert case.subject == chests[i].subject


def test_a_collapsed_cohort_has_three_modes(chests):
    flat = images(spoil(chests, "collapse", 1.0)).reshape(10, -1)
    correlation = np.corrcoef(flat)
    assert len({tuple(row) for row in correlation > 0.998}) == 3


def test_copying_needs_the_train_cohort(chests):
    with pytest.raises(BadInput, match="got no train cohort; expected one. Give train="):
        spoil(chests, "copying", 0.5)


def test_an_unknown_failure_is_named(chests):
    with pytest.raises(BadInput, match="did you mean 'noise'"):
        spoil(chests, "noize", 0.5)


@pytest.mark.parametrize("strength", [0.0, 1.5, float("nan")])
def test_a_strength_out_of_range_is_refused(chests, strength):
    with pytest.raises(BadInput, match="expected above 0 and at most 1"):
        spoil(chests, "noise", strength)


@pytest.mark.parametrize("failure", ["jitter", "weak_contraction"])
def test_failures_of_motion_need_a_cine(chests, failure):
    spoiled = spoil(chests, failure, 0.5)
    with pytest.raises(BadInput, match=f"failure '{failure}' got"):
        spoiled[0]
