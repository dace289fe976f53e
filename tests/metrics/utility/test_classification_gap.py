from dataclasses import replace

import numpy as np
import pytest

from audit.cohort import cohort_of
from audit.errors import NotComputable
from audit.metrics.utility.classification_gap import METRIC, correct
from audit.phantoms import spoil


def blobs(rng, n):
    groups = np.repeat(["A", "B"], n)
    centers = np.where(groups == "A", -2.0, 2.0)[:, None]
    return centers + rng.standard_normal((2 * n, 3)), groups


def test_separable_groups_are_told_apart():
    rng = np.random.default_rng(0)
    (train, train_groups), (test, test_groups) = blobs(rng, 30), blobs(rng, 30)
    weighted = correct(train=train, train_groups=train_groups, test=test, test_groups=test_groups)
    assert weighted.mean() > 0.97


def test_a_single_group_in_training_gives_the_accuracy_of_a_guess():
    rng = np.random.default_rng(0)
    test, test_groups = blobs(rng, 10)
    keep = np.r_[0:10, 10:13]
    weighted = correct(
        train=test[:5], train_groups=test_groups[:5], test=test[keep], test_groups=test_groups[keep]
    )
    assert weighted.mean() == pytest.approx(0.5)


def test_an_honest_cohort_teaches_and_a_collapsed_one_does_not(heart_comparison):
    honest = METRIC.compute(heart_comparison, np.random.default_rng(0))
    assert set(honest) == {"synthetic", "mixed"}
    assert honest["synthetic"].params["train_on_real_accuracy"] > 0.3
    assert honest["mixed"].params["trained_on"] == 2 * honest["synthetic"].params["trained_on"]
    assert honest["mixed"].estimate.n == len(set(heart_comparison.holdout.subjects))
    collapsed = replace(
        heart_comparison, synthetic=spoil(heart_comparison.synthetic, "collapse", 1.0), _made={}
    )
    broken = METRIC.compute(collapsed, np.random.default_rng(0))
    assert broken["synthetic"].estimate.value < honest["synthetic"].estimate.value


def test_one_group_alone_gives_a_reason(heart_comparison):
    alike = [replace(case, group="NOR") for case in heart_comparison.train]
    single = replace(heart_comparison, train=cohort_of("train", alike))
    with pytest.raises(NotComputable, match="1 groups have 3 real cases"):
        METRIC.compute(single, np.random.default_rng(0))
