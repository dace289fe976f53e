"""Kernel distances: closed forms, unbiasedness, standard error, subsets, precision and recall."""

from dataclasses import replace

import numpy as np
import pytest

from audit.errors import NotComputable
from audit.statistics.intervals import score_interval
from audit.statistics.manifold import coverage_of_equals, manifold, manifold_in_pool
from audit.statistics.mmd import (
    BANDWIDTH_FACTORS,
    cubic_kernel,
    gaussian_kernel,
    mmd2,
    mmd2_from_indicators,
    mmd2_of_sets,
    mmd2_se_in_pool,
)
from audit.statistics.pool import Pool, pool_of
from audit.statistics.sliced import sliced_wasserstein
from audit.statistics.vendi import effective_number, vendi_score


def pool(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Pool:
    rng = np.random.default_rng(seed)
    return pool_of(
        train=rng.normal(size=(n, d)),
        holdout=rng.normal(size=(n, d)),
        synthetic=scale * rng.normal(size=(n, d)) + shift,
    )


def test_gaussian_mmd_meets_its_closed_form() -> None:
    """E k = (s/(s+v))^(d/2) exp(-|m|²/(2(s+v))) with v the sum of both variances."""
    d, shift, scale, n = 8, 0.3, 1.2, 900
    found = pool(n, d, 0, shift, scale)
    value = mmd2_of_sets(found, gaussian_kernel, [found.holdout], [found.synthetic])[0]
    median = 2 * d * (1 - 2 / (9 * d)) ** 3  # median of 2 chi²_d, Wilson-Hilferty

    def expected(v: float, gap: float, s: float) -> float:
        return (s / (s + v)) ** (d / 2) * np.exp(-gap / (2 * (s + v)))

    total = 0.0
    for factor in BANDWIDTH_FACTORS:
        s = median * factor**2
        total += (
            expected(2, 0, s)
            + expected(2 * scale**2, 0, s)
            - 2 * expected(1 + scale**2, d * shift**2, s)
        )
    assert value == pytest.approx(total / len(BANDWIDTH_FACTORS), rel=0.15)


def test_cubic_kernel_uses_the_features_as_they_came_not_centered_ones() -> None:
    found = pool(12, 5, 1, shift=2.0)
    real, synthetic = (found.rows[p] + found.center for p in (found.holdout, found.synthetic))
    assert np.allclose(
        cubic_kernel(found, found.holdout, found.synthetic), (real @ synthetic.T / 5 + 1) ** 3
    )
    by_pool = mmd2_of_sets(found, cubic_kernel, [found.holdout], [found.synthetic])[0]
    assert by_pool == pytest.approx(mmd2(real=real, synthetic=synthetic), rel=1e-9)


@pytest.mark.parametrize("kernel", [cubic_kernel, gaussian_kernel])
def test_equal_distributions_average_to_zero_and_are_negative_half_the_time(kernel) -> None:
    values = []
    for seed in range(200):
        found = pool(20, 6, seed)
        values.append(mmd2_of_sets(found, kernel, [found.holdout], [found.synthetic])[0])
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert 0.25 < np.mean(np.array(values) < 0) < 0.75


def test_a_cubic_kernel_sees_spread_and_collapse_which_a_linear_one_does_not() -> None:
    rng = np.random.default_rng(2)
    real = rng.normal(size=(200, 10))
    spread = 3 * rng.normal(size=(200, 10))
    spread -= spread.mean(axis=0) - real.mean(axis=0)
    collapsed = np.tile(real.mean(axis=0) + np.array([1.0] + [0.0] * 9), (200, 1))
    collapsed[::2] = 2 * real.mean(axis=0) - collapsed[0]
    null = abs(mmd2(real=real, synthetic=rng.normal(size=(200, 10))))
    assert mmd2(real=real, synthetic=spread) > 10 * null
    assert mmd2(real=real, synthetic=collapsed) > 2 * null


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.3, 1.2)])
def test_closed_form_standard_error_is_the_scatter_over_cohorts(shift: float, scale: float) -> None:
    """A jackknife would be 1.4 times too large where nothing differs."""
    values, errors = [], []
    for seed in range(250):
        found = pool(40, 10, seed, shift, scale)
        values.append(mmd2_of_sets(found, gaussian_kernel, [found.holdout], [found.synthetic])[0])
        errors.append(mmd2_se_in_pool(found, gaussian_kernel, found.holdout, found.synthetic).error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_weights_never_pair_a_row_with_itself() -> None:
    """A bootstrap by weights keeps expectation 0; drawing duplicates would not."""
    rng = np.random.default_rng(3)
    draws = []
    for seed in range(60):
        found = pool(30, 5, seed)
        everything = np.arange(len(found.rows))
        kernel = gaussian_kernel(found, everything, everything)
        weights = np.zeros((len(found.rows), 2))
        weights[found.holdout, 0] = rng.multinomial(30, np.full(30, 1 / 30))
        weights[found.synthetic, 1] = rng.multinomial(30, np.full(30, 1 / 30))
        draws.append(mmd2_from_indicators(kernel, weights[:, :1], weights[:, 1:])[0])
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(60)


def test_one_volume_has_a_reason() -> None:
    with pytest.raises(NotComputable, match="at least 2"):
        mmd2(real=np.zeros((1, 3)), synthetic=np.zeros((4, 3)))


def test_identical_sets_and_disjoint_sets() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(40, 5))
    same = manifold(real=rows, synthetic=rows)
    assert (same.precision, same.recall, same.coverage) == (1.0, 1.0, 1.0)
    apart = manifold(real=rows, synthetic=rows + 100)
    assert (apart.precision, apart.recall, apart.density, apart.coverage) == (0, 0, 0, 0)


def test_precision_and_recall_are_not_swapped() -> None:
    """Two real modes, the generator makes one: precise but without recall. And the reverse."""
    rng = np.random.default_rng(5)
    both = np.concatenate([rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 30])
    one = rng.normal(size=(80, 3))
    collapsed = manifold(real=both, synthetic=one)
    assert collapsed.precision > 0.9
    assert collapsed.recall < 0.6
    assert collapsed.coverage < 0.6
    spread = manifold(real=one, synthetic=both)
    assert spread.precision < 0.6
    assert spread.recall > 0.9


def test_pool_and_streamed_manifold_agree_whatever_the_block(monkeypatch) -> None:
    found = pool(60, 4, 6, shift=0.7)
    real, synthetic = (found.rows[p] for p in (found.holdout, found.synthetic))
    expected = manifold(real=real, synthetic=synthetic)
    assert manifold_in_pool(found, found.holdout, found.synthetic) == expected
    monkeypatch.setattr("audit.statistics.manifold.BLOCK_BYTES", 8 * 60 * 7)
    assert manifold(real=real, synthetic=synthetic) == expected


def test_coverage_of_equal_distributions_is_its_closed_form() -> None:
    rng = np.random.default_rng(7)
    values = [
        manifold(real=rng.normal(size=(50, 3)), synthetic=rng.normal(size=(50, 3))).coverage
        for _ in range(60)
    ]
    assert np.mean(values) == pytest.approx(coverage_of_equals(50, 50), abs=0.01)


def test_duplicates_have_zero_radius_and_no_point_is_strictly_inside() -> None:
    rows = np.repeat(np.eye(3), 6, axis=0)
    assert manifold(real=rows, synthetic=rows).precision == 0.0


def test_too_few_neighbors_have_a_reason() -> None:
    with pytest.raises(NotComputable, match=r"5 volumes.*more than k = 5"):
        manifold(real=np.zeros((5, 2)), synthetic=np.zeros((9, 2)))


def test_vendi_counts_orthogonal_and_repeated_rows() -> None:
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.repeat(np.eye(7)[:3], 4, axis=0)) == pytest.approx(3)
    assert vendi_score(np.ones((9, 2))) == pytest.approx(1)


def test_vendi_orders_are_hill_numbers() -> None:
    weights = np.array([0.5, 0.25, 0.25])
    assert effective_number(weights, order=2) == pytest.approx(1 / 0.375)
    assert effective_number(weights, order=np.inf) == pytest.approx(2)
    assert effective_number(weights) == pytest.approx(2**1.5)


def test_vendi_of_a_zero_row_has_a_reason() -> None:
    with pytest.raises(NotComputable, match="direction"):
        vendi_score(np.zeros((4, 3)))


def test_sliced_wasserstein_of_a_shift_is_the_mean_projection_of_it() -> None:
    rows = np.random.default_rng(8).normal(size=(30, 3))
    shift = np.array([0.0, 0.0, 2.0])
    # The mean of |cos| over the sphere in three dimensions is one half.
    assert sliced_wasserstein(rows, rows + shift) == pytest.approx(1.0, rel=0.1)
    assert sliced_wasserstein(rows, rows[::-1]) == 0.0


def test_heavy_tails_under_the_polynomial_are_said_and_widen_the_upper_end() -> None:
    """A generator of half the size: few cohorts meet the real tail, which carries the truth."""

    def drawn(seed: int, n: int) -> Pool:
        rng = np.random.default_rng([seed, 41])
        holdout, other = (np.exp(0.8 * rng.normal(size=(n, 6))) for _ in range(2))
        return pool_of(train=holdout[:1], holdout=holdout, synthetic=0.5 * other)

    large = [drawn(900 + k, 300) for k in range(40)]
    truth = np.mean([mmd2_of_sets(p, cubic_kernel, [p.holdout], [p.synthetic]) for p in large])
    said = covered = narrow = 0
    for seed in range(100):
        few = drawn(seed, 30)
        value = float(mmd2_of_sets(few, cubic_kernel, [few.holdout], [few.synthetic])[0])
        scatter = mmd2_se_in_pool(few, cubic_kernel, few.holdout, few.synthetic)
        low, high = score_interval(value, scatter, 30)
        covered += low <= truth <= high
        own = replace(scatter, slope_above=scatter.slope)
        narrow += low <= truth <= score_interval(value, own, 30)[1]
        said += "few subjects carry the kernel" in scatter.method
    assert said >= 90
    assert covered >= 92
    assert narrow < covered


@pytest.mark.parametrize("kernel", [cubic_kernel, gaussian_kernel])
def test_light_tails_keep_the_slope_that_the_cohort_shows(kernel) -> None:
    said = 0
    for seed in range(50):
        few = pool(30, 6, seed)
        scatter = mmd2_se_in_pool(few, kernel, few.holdout, few.synthetic)
        said += "few subjects" in scatter.method
    assert said <= 10
