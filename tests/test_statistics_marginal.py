"""Marginal and joint comparison of two cohorts: closed forms, size, power, coverage."""

import numpy as np
import pytest
from scipy import stats

from audit.errors import NotComputable
from audit.statistics.joint import compare_joint
from audit.statistics.marginal import compare_marginals, ecdf_distances, marginal_floor
from audit.statistics.two_sample import energy_distance


def draw(rng, n=50, mean=50.0, sd=7.0):
    """Ejection fractions as the CardioDiT paper prints for its private cohort: SD 7 points."""
    return rng.normal(mean, sd, n)


def test_both_distances_equal_scipy_with_ties():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 8, 30).astype(float), rng.integers(1, 9, 20).astype(float)
    pooled = np.concatenate([first, second])
    order = np.argsort(pooled, kind="stable")
    w1, ks = ecdf_distances(pooled[order], (order < 30)[None], (order >= 30)[None])
    assert w1[0] == pytest.approx(stats.wasserstein_distance(first, second))
    assert ks[0] == pytest.approx(stats.ks_2samp(first, second).statistic)


def test_a_shift_is_its_own_distance():
    values = np.random.default_rng(1).normal(size=40)
    found = compare_marginals(values, values + 3, rng=np.random.default_rng(2))
    assert found.distance.value == pytest.approx(3)
    assert found.mean_shift.value == pytest.approx(3)
    assert [s.value for s in found.quantile_shifts] == pytest.approx([3] * 5)


def p_values(rng, shift, repeats):
    return np.array(
        [
            compare_marginals(
                draw(rng), draw(rng, mean=50.0 - shift), rng=rng, permutations=199, resamples=2
            ).p_value
            for _ in range(repeats)
        ]
    )


def test_a_shift_of_5_points_of_ejection_fraction_is_detected_at_n_50():
    assert (p_values(np.random.default_rng(7), 5.0, 100) <= 0.05).mean() > 0.85


def test_no_shift_is_detected_in_5_percent_of_cohorts():
    assert 0.03 <= (p_values(np.random.default_rng(8), 0.0, 1000) <= 0.05).mean() <= 0.07


def test_the_interval_covers_the_expected_distance():
    rng = np.random.default_rng(3)
    hits, spread = 0, []
    for _ in range(150):
        found = compare_marginals(
            draw(rng), draw(rng, mean=40.0), rng=rng, permutations=1, resamples=100
        ).distance
        spread.append(found.value)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 10.0 <= found.high
    assert 0.90 <= hits / 150 <= 0.99
    assert np.mean(spread) == pytest.approx(10, abs=0.4)


def test_equal_values_are_bounded_by_what_permutations_reach():
    values = np.arange(12.0)
    found = compare_marginals(values, values, rng=np.random.default_rng(1)).distance
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high is not None
    assert 1 < found.high < 6
    assert "permutations" in found.method
    joint = compare_joint(values[:, None], values[:, None], rng=np.random.default_rng(1)).distance
    assert joint.value == pytest.approx(0.0, abs=1e-9)
    assert joint.high is not None
    assert joint.high > 0


def test_constant_values_have_no_interval():
    found = compare_marginals(np.ones(8), np.ones(8), rng=np.random.default_rng(1))
    assert found.distance.value == 0.0
    assert found.distance.low is found.distance.high is None
    assert found.mean_shift.low is found.mean_shift.high is None


def test_the_shift_of_the_mean_has_the_interval_of_welch():
    rng = np.random.default_rng(3)
    first, second = draw(rng, 12), draw(rng, 20, mean=45.0)
    found = compare_marginals(first, second, rng=rng).mean_shift
    low, high = stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_floor_is_what_real_cohorts_of_these_sizes_show():
    rng = np.random.default_rng(4)
    floor = marginal_floor(draw(rng, 200), 20, 30, rng=rng)
    fresh = [stats.wasserstein_distance(draw(rng, 20), draw(rng, 30)) for _ in range(300)]
    assert floor.mean == pytest.approx(np.mean(fresh), rel=0.15)
    assert floor.low < floor.mean < floor.high


def test_two_values_a_side_are_the_least():
    with pytest.raises(NotComputable, match=r"1 real and 3 synthetic subjects have this quantity"):
        compare_marginals([1.0], [1.0, 2.0, 3.0], rng=np.random.default_rng(0))


def test_the_joint_distance_equals_the_plain_one_on_scaled_rows():
    rng = np.random.default_rng(5)
    real, synthetic = rng.normal(size=(30, 3)), rng.normal(0.5, 1, size=(20, 3))
    found = compare_joint(real, synthetic, rng=rng)
    scale = real.std(axis=0)
    assert found.distance.value == pytest.approx(energy_distance(real / scale, synthetic / scale))


def test_a_joint_law_with_equal_marginals_is_told_apart():
    """Large and thick go together in one cohort and exclude each other in the other."""
    rng = np.random.default_rng(6)
    real = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 60)
    synthetic = rng.multivariate_normal([0, 0], [[1, -0.8], [-0.8, 1]], 60)
    for k in range(2):
        assert compare_marginals(real[:, k], synthetic[:, k], rng=rng).p_value > 0.05
    assert compare_joint(real, synthetic, rng=rng).p_value < 0.01


def test_the_joint_test_holds_its_size():
    rng = np.random.default_rng(8)
    p = [
        compare_joint(
            rng.normal(size=(20, 3)),
            rng.normal(size=(25, 3)),
            rng=rng,
            permutations=99,
            resamples=2,
        ).p_value
        for _ in range(1500)
    ]
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07
