"""Fréchet distance: closed forms, invariances, degenerate input, the floor's formula."""

import numpy as np
import pytest

from audit.errors import NotComputable
from audit.metrics.fidelity.frechet_distance import frechet_distance
from audit.statistics.extrapolation import extrapolate_frechet, projected
from audit.statistics.frechet import frechet, frechet_floor, frechet_in_pool
from audit.statistics.pool import pool_of


def with_moments(rng: np.random.Generator, n: int, mean: np.ndarray, scales: np.ndarray):
    """Rows whose sample mean and covariance are exactly these (covariance diagonal)."""
    rows = rng.normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    orthogonal, _ = np.linalg.qr(rows)
    return orthogonal * np.sqrt(n - 1) * scales + mean


def test_one_dimension_is_squared_difference_of_mean_and_deviation() -> None:
    rng = np.random.default_rng(0)
    real = with_moments(rng, 50, np.array([1.0]), np.array([2.0]))
    synthetic = with_moments(rng, 50, np.array([4.0]), np.array([0.5]))
    assert frechet(real=real, synthetic=synthetic).value == pytest.approx(9 + 2.25, rel=1e-12)


def test_commuting_covariances_give_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    a, b = np.array([1.0, 2.0, 0.1, 5.0]), np.array([1.5, 0.2, 0.1, 4.0])
    real, synthetic = with_moments(rng, 30, np.zeros(4), a), with_moments(rng, 30, np.ones(4), b)
    found = frechet(real=real, synthetic=synthetic)
    assert found.mean == pytest.approx(4.0, rel=1e-12)
    assert found.covariance == pytest.approx(((a - b) ** 2).sum(), rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(20, 100), (200, 10), (30, 30), (31, 30)])
def test_identical_sets_are_at_exactly_zero(n: int, d: int) -> None:
    rows = np.random.default_rng(2).normal(size=(n, d))
    assert frechet(real=rows, synthetic=rows).value < 1e-10


def test_rank_deficient_sets_with_disjoint_ranges_are_apart_by_both_traces() -> None:
    rng = np.random.default_rng(3)
    real, synthetic = np.zeros((40, 60)), np.zeros((40, 60))
    real[:, :5] = with_moments(rng, 40, np.zeros(5), np.full(5, 2.0))
    synthetic[:, 5:10] = with_moments(rng, 40, np.zeros(5), np.full(5, 3.0))
    assert frechet(real=real, synthetic=synthetic).value == pytest.approx(5 * 4 + 5 * 9, rel=1e-6)


def test_singular_covariances_with_enough_rows_need_no_ridge() -> None:
    rng = np.random.default_rng(4)
    thin = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 20))
    assert frechet(real=thin, synthetic=thin).value < 1e-8
    assert frechet(real=thin, synthetic=2 * thin).covariance == pytest.approx(
        thin.var(axis=0, ddof=1).sum(), rel=1e-6
    )


@pytest.mark.parametrize(("n", "d"), [(15, 40), (80, 12)])
def test_invariances(n: int, d: int) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(n, d)), 1.3 * rng.normal(size=(n, d)) + 0.2
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    value = frechet(real=x, synthetic=y).value
    assert frechet(real=y, synthetic=x).value == pytest.approx(value, rel=1e-9)
    assert frechet(real=x @ rotation + 7, synthetic=y @ rotation + 7).value == pytest.approx(
        value, rel=1e-9
    )
    assert frechet(real=3 * x, synthetic=3 * y).value == pytest.approx(9 * value, rel=1e-9)


def test_large_offset_keeps_precision() -> None:
    """Where one-pass covariances are garbage: mean 1e4, deviation 1e-3."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(100, 5)), 2 * rng.normal(size=(100, 5))
    near = frechet(real=x, synthetic=y).value
    far = frechet(real=x * 1e-3 + 1e4, synthetic=y * 1e-3 + 1e4).value
    assert far == pytest.approx(near * 1e-6, rel=1e-5)


def test_pool_and_direct_route_agree_on_both_sides_of_n_equals_d() -> None:
    rng = np.random.default_rng(7)
    for n, d in ((20, 50), (60, 8)):
        x, y = rng.normal(size=(n, d)), rng.normal(size=(n, d)) + 0.3
        pool = pool_of(train=np.zeros((0, d)), holdout=x, synthetic=y)
        pooled = frechet_in_pool(pool, pool.holdout, pool.synthetic).value
        assert pooled == pytest.approx(frechet(real=x, synthetic=y).value, rel=1e-10)


def test_constant_features_add_nothing() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    wide = [np.hstack([rows, np.full((30, 3), 5.0)]) for rows in (x, y)]
    assert frechet(real=wide[0], synthetic=wide[1]).value == pytest.approx(
        frechet(real=x, synthetic=y).value, rel=1e-9
    )


def test_duplicated_volumes_shrink_no_distance_to_the_original() -> None:
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(40, 6))
    collapsed = np.repeat(rows[:4], 10, axis=0)
    assert (
        frechet(real=rows, synthetic=collapsed).value
        > frechet(real=rows, synthetic=rng.normal(size=(40, 6))).value
    )


def test_unequal_n_is_refused() -> None:
    with pytest.raises(NotComputable, match=r"10 real and 20 synthetic.*same number.*Subsample"):
        frechet_distance(real=np.zeros((10, 3)), synthetic=np.zeros((20, 3)))


@pytest.mark.parametrize("rows", [np.zeros((1, 4)), np.zeros((0, 4))])
def test_one_volume_has_a_reason(rows: np.ndarray) -> None:
    with pytest.raises(NotComputable, match="at least 2"):
        frechet(real=rows, synthetic=np.zeros((5, 4)))


def test_infinite_features_have_a_reason() -> None:
    with pytest.raises(NotComputable, match="not finite"):
        frechet(real=np.full((5, 2), np.inf), synthetic=np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("n", "spectrum"),
    [(150, np.ones(20)), (300, 1 / np.arange(1, 33)), (400, np.geomspace(1, 1e-3, 20))],
)
def test_closed_form_floor_meets_the_simulation(n: int, spectrum: np.ndarray) -> None:
    rng = np.random.default_rng(10)
    scale = np.sqrt(spectrum)
    values = [
        frechet(
            real=rng.normal(size=(n, len(scale))) * scale,
            synthetic=rng.normal(size=(n, len(scale))) * scale,
        ).value
        for _ in range(60)
    ]
    expected = frechet_floor(spectrum, n, n)
    assert np.mean(values) == pytest.approx(expected, rel=0.05)


def test_flat_spectrum_floor_is_its_textbook_form() -> None:
    d, n = 12, 500
    assert frechet_floor(np.ones(d), n, n) == pytest.approx(2 * d / n + d * (d + 1) / (2 * n))


def test_floor_is_refused_below_its_domain() -> None:
    with pytest.raises(NotComputable, match="more rows than features"):
        frechet_floor(np.ones(50), 40, 40)


def test_extrapolation_removes_the_bias_that_a_fixed_real_side_leaves() -> None:
    """True distance known; at n = 120 the plain one is several times too large."""
    rng = np.random.default_rng(11)
    d, n, shift = 16, 160, 0.1
    plain, found = [], []
    for k in range(25):
        pool = pool_of(
            train=np.zeros((0, d)),
            holdout=rng.normal(size=(n, d)),
            synthetic=rng.normal(size=(n, d)) + shift,
        )
        plain.append(frechet_in_pool(pool, pool.holdout, pool.synthetic).value)
        found.append(extrapolate_frechet(pool, pool.holdout, pool.synthetic, seed=k).intercept)
    truth = d * shift**2
    assert np.mean(plain) > 5 * truth
    assert np.mean(found) == pytest.approx(truth, abs=0.12)


def test_extrapolation_refuses_few_volumes() -> None:
    pool = pool_of(train=np.zeros((0, 50)), holdout=np.eye(60, 50), synthetic=np.eye(60, 50))
    with pytest.raises(NotComputable, match=r"60 volumes for 50 dimensions.*kernel distance"):
        extrapolate_frechet(pool, pool.holdout, pool.synthetic, seed=0)


def test_projection_comes_from_train_alone() -> None:
    rng = np.random.default_rng(12)
    train = np.zeros((40, 30))
    train[:, 3] = rng.normal(size=40)
    pool = pool_of(
        train=train, holdout=rng.normal(size=(8, 30)), synthetic=rng.normal(size=(8, 30))
    )
    small = projected(pool)
    assert small.dim == 1
    assert np.allclose(np.abs(small.rows[:, 0]), np.abs(pool.rows[:, 3]))
