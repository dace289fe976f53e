from dataclasses import replace

import numpy as np
import pytest

from audit.cohort import cohort_of
from audit.errors import NotComputable
from audit.metrics.utility import segmentation_gap
from audit.metrics.utility.segmentation_gap import METRIC, _labeled, measure, paired_gap
from audit.phantoms import heart_cohort, spoil, with_conditions
from audit.segmenter.training import Recipe

QUICK = Recipe(steps=80, batch=2, learning_rate=1e-2, filters=(8, 12, 16), check_every=80)


def test_the_gap_is_the_mean_difference_by_subject():
    control = np.array([0.9, 0.8, 0.7, 0.6])
    gap = paired_gap(
        tried=control - 0.1,
        control=control,
        subjects=["a", "b", "c", "d"],
        rng=np.random.default_rng(0),
    )
    assert gap.value == pytest.approx(-0.1)
    assert (gap.low, gap.high) == pytest.approx((-0.1, -0.1))
    assert gap.n == 4


def test_two_cases_of_a_subject_are_one_unit():
    gap = paired_gap(
        tried=np.array([1.0, 1.0, 0.0, 0.0]),
        control=np.zeros(4),
        subjects=["a", "a", "b", "b"],
        rng=np.random.default_rng(0),
    )
    assert gap.n == 2
    assert (gap.low, gap.high) == (0.0, 1.0)


def test_requested_masks_teach_where_none_came_with_the_case():
    conditions, synthetic = with_conditions(heart_cohort(2, role="synthetic", frames=1))
    bare = cohort_of("synthetic", [replace(case, labels=None) for case in synthetic])
    names = {"lv": 9, "myocardium": 8, "rv": 7}
    requests = {case.id: case.labels for case in conditions}
    taught = _labeled(bare, names, requests)
    assert len(taught) == 2
    assert (taught[0].labels.mask("lv") == synthetic[0].labels.mask("lv")).all()
    assert dict(taught[0].labels.names) == names
    assert len(_labeled(bare, names, {})) == 0


def test_too_few_subjects_give_a_reason(heart_comparison):
    few = replace(heart_comparison, synthetic=heart_comparison.synthetic.subset([0, 1]))
    with pytest.raises(NotComputable, match="2 synthetic subjects have usable label maps"):
        METRIC.compute(few, np.random.default_rng(0))


def test_four_arms_of_equal_n_are_compared_subject_by_subject(heart_comparison, monkeypatch):
    """Trainings are replaced by a score that is the share of synthetic subjects taught."""
    few = replace(heart_comparison, synthetic=heart_comparison.synthetic.subset(range(6)))
    made = set(few.synthetic.subjects)
    taught = []

    def scores(comparison, cohort, test, names, recipe, *, seed):
        taught.append((set(cohort.subjects), seed))
        hard = np.arange(len(test))[:, None] / 100
        return np.full((len(test), 3), len(set(cohort.subjects) & made) / 12) + hard

    monkeypatch.setattr(segmentation_gap, "_scores", scores)
    found = measure(few, np.random.default_rng(0), QUICK)
    synthetic, real, mixed, again = (subjects for subjects, _ in taught)
    assert synthetic == made
    assert len(real) == len(again) == 6
    assert real <= set(few.train.subjects)
    assert mixed == synthetic | real
    assert [seed for _, seed in taught] == [0, 0, 0, 1]
    for arm in ("synthetic", "mixed"):  # what is hard for both sides cancels: no spread is left
        gap = found[arm].estimate
        assert (gap.value, gap.low, gap.high) == pytest.approx((0.5, 0.5, 0.5))
        assert gap.n == len(set(few.holdout.subjects))
        assert found[arm].reference["real_vs_real"] == 0
    assert found["mixed"].params["trained_on_subjects"] == 12


def test_it_is_off_by_default():
    assert not METRIC.default


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cohort_without_right_ventricles_teaches_less(heart_comparison):
    arms = measure(heart_comparison, np.random.default_rng(0), QUICK)
    honest, mixed = arms["synthetic"], arms["mixed"]
    spoiled = replace(
        heart_comparison,
        conditions=None,
        synthetic=spoil(heart_comparison.synthetic, "missing_organ", 1.0),
        _made={},
    )
    broken = measure(spoiled, np.random.default_rng(0), QUICK)["synthetic"]
    assert broken.estimate.high < honest.estimate.value
    assert broken.params["dice"]["rv"] < 0.1
    assert honest.params["dice"]["rv"] > 0.4
    assert mixed.params["dice"]["rv"] > 0.4
