"""Alpha-precision and beta-recall: closed forms, direction, and what they share with coverage."""

import numpy as np
import pytest

from audit.errors import NotComputable
from audit.statistics.manifold import manifold
from audit.statistics.pool import pool_of
from audit.statistics.support import (
    NEIGHBORS,
    alpha_levels,
    alpha_precision_in_pool,
    beta_levels,
    beta_recall_in_pool,
    integrated_agreement,
)


def alpha_precision(real: np.ndarray, synthetic: np.ndarray) -> float:
    return integrated_agreement(alpha_levels(real=real, synthetic=synthetic))


def beta_recall(real: np.ndarray, synthetic: np.ndarray, neighbors: int = NEIGHBORS) -> float:
    return integrated_agreement(beta_levels(real=real, synthetic=synthetic, neighbors=neighbors))


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (np.zeros(7), 0.0),
        (np.ones(7), 0.0),
        (np.full(4, 0.5), 0.5),  # two triangles of 1/8
        ((np.arange(10) + 0.5) / 10, 1 - 1 / 20),
        (np.array([0.0, 1.0]), 0.5),
        (np.array([0.0, 0.5]), 0.5),  # every half of the cohort 1/4 too low on average
    ],
)
def test_agreement_is_one_less_twice_the_area_to_the_diagonal(levels, expected) -> None:
    assert integrated_agreement(levels) == pytest.approx(expected)


def test_agreement_is_the_integral_over_a_fine_grid() -> None:
    levels = np.random.default_rng(0).beta(2, 3, size=13)
    grid = (np.arange(200_000) + 0.5) / 200_000
    share = np.searchsorted(np.sort(levels), grid, side="right") / 13
    assert integrated_agreement(levels) == pytest.approx(
        1 - 2 * np.abs(share - grid).mean(), abs=1e-5
    )


def test_identical_cohorts_reach_one_but_for_the_steps() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 4))
    assert alpha_precision(rows, rows) == pytest.approx(1 - 1 / 100)
    # With one neighbor a ball holds only the row itself.
    assert beta_recall(rows, rows, neighbors=1) == pytest.approx(1 - 1 / 100)


def test_disjoint_cohorts_have_none_of_either() -> None:
    rows = np.random.default_rng(2).normal(size=(40, 4))
    assert alpha_precision(rows, rows + 100) == 0.0
    assert beta_recall(rows, rows + 100) == 0.0


def test_a_generator_of_the_mean_volume_has_no_alpha_precision_though_it_is_precise() -> None:
    rows = np.random.default_rng(3).normal(size=(60, 3))
    center = np.tile(rows.mean(axis=0), (60, 1)) + 1e-6 * rows
    assert manifold(real=rows, synthetic=center).precision == 1.0
    assert alpha_precision(rows, center) == pytest.approx(0.0, abs=1e-9)
    assert beta_recall(rows, center) < 0.3


def test_at_level_one_beta_recall_is_coverage() -> None:
    rng = np.random.default_rng(4)
    real, synthetic = rng.normal(size=(50, 3)), 0.5 * rng.normal(size=(50, 3)) + 0.8
    recalled = beta_levels(real=real, synthetic=synthetic) < 1
    known = manifold(real=real, synthetic=synthetic, neighbors=NEIGHBORS)
    assert recalled.mean() == known.coverage


def test_missing_modes_lower_recall_and_outliers_lower_precision_not_the_reverse() -> None:
    rng = np.random.default_rng(5)
    both = np.concatenate([rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 12])
    one = rng.normal(size=(80, 3))
    honest = np.concatenate([rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 12])
    assert beta_recall(both, one) < beta_recall(both, honest) - 0.1
    wide = rng.normal(size=(80, 3)) * 2
    assert alpha_precision(one, wide) < 0.5
    assert beta_recall(one, wide) > alpha_precision(one, wide)


def test_pool_and_rows_agree() -> None:
    rng = np.random.default_rng(6)
    pool = pool_of(
        train=rng.normal(size=(20, 4)),
        holdout=rng.normal(size=(30, 4)),
        synthetic=rng.normal(size=(30, 4)) + 0.5,
    )
    real, synthetic = (pool.rows[p] + pool.center for p in (pool.holdout, pool.synthetic))
    found = alpha_precision_in_pool(pool, pool.holdout, pool.synthetic)
    assert found == pytest.approx(alpha_precision(real, synthetic))
    found = beta_recall_in_pool(pool, pool.holdout, pool.synthetic)
    assert found == pytest.approx(beta_recall(real, synthetic))


def test_constant_features_put_every_level_in_the_middle() -> None:
    assert alpha_precision(np.ones((6, 2)), np.ones((6, 2))) == pytest.approx(0.5)


def test_too_few_volumes_have_a_reason() -> None:
    with pytest.raises(NotComputable, match=r"2 volumes a side; expected more than k = 2"):
        beta_levels(real=np.zeros((2, 2)), synthetic=np.zeros((5, 2)))


@pytest.mark.parametrize("n", [7, 24, 49])
def test_no_agreement_is_zero_and_not_a_rounding_error(n):
    assert integrated_agreement(np.ones(n)) == 0
    assert integrated_agreement(np.zeros(n)) == 0
