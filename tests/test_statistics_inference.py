"""Interval, floor, p-value and power: by simulation with fixed seeds."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import t

from audit.errors import NotComputable
from audit.statistics.frechet import frechet_in_pool
from audit.statistics.inference import (
    Inference,
    estimated,
    infer,
    one_by_one,
    verdict,
)
from audit.statistics.intervals import (
    METHODS,
    NULL_TAIL_ABOVE,
    NULL_TAIL_BELOW,
    OFF_NULL,
    StandardError,
    Unscattered,
    counted_once,
    effective_garwood,
    mid_p_of_members,
    score_interval,
    students,
    students_of_extrapolated,
    students_of_log,
    students_on_log,
    students_on_log_of_ratio,
    students_on_log_of_squared,
    students_on_logit,
    students_on_logit_of_levels,
)
from audit.statistics.mmd import gaussian_kernel, mmd2_of_sets
from audit.statistics.pool import Pool, pool_of
from audit.statistics.resampling import halved, jackknife, null_resampled, permuted
from audit.statistics.scalar import transport
from audit.statistics.sliced import sliced_in_pool
from audit.statistics.two_sample import (
    benjamini_hochberg,
    energy_distance,
    holm,
    one_per_subject,
    permutation_p_value,
    split_half_floor,
    wasserstein_1,
)

FRECHET = one_by_one(lambda pool, a, b: frechet_in_pool(pool, a, b).value)


def draw(seed: int, *, n: int = 30, d: int = 6, shift: float = 0.0, scale: float = 1.0) -> Pool:
    rng = np.random.default_rng([seed, 77])
    return pool_of(
        train=rng.normal(size=(2 * n, d)),
        holdout=rng.normal(size=(n, d)),
        synthetic=scale * rng.normal(size=(n, d)) + shift,
    )


def kernel_statistic(pool, a, b):
    return mmd2_of_sets(pool, gaussian_kernel, a, b)


def scatter(error: float, **more) -> StandardError:
    return StandardError(error=error, freedom=19, method="given", **more)


SHARES = (mid_p_of_members, students_on_logit, students_on_logit_of_levels)


@pytest.mark.parametrize("interval", SHARES)
def test_share_interval_is_open_where_every_case_agrees(interval) -> None:
    """Clopper-Pearson's end for 20 of 20 is 0.025^(1/20)."""
    low, high = interval(1.0, scatter(0.0), 20)
    assert high == 1.0
    assert low == pytest.approx(0.8316, abs=1e-3)
    assert interval(0.0, scatter(0.0), 20) == (0.0, pytest.approx(1 - 0.8316, abs=1e-3))


@pytest.mark.parametrize("interval", SHARES)
@pytest.mark.parametrize("hits", [1, 7, 19])
def test_share_interval_holds_the_value_and_stays_between_0_and_1(interval, hits: int) -> None:
    for error in (0.0, 0.05, 0.2, 500.0):
        low, high = interval(hits / 20, scatter(error), 20)
        assert 0 <= low < hits / 20 < high <= 1


def test_membership_interval_is_of_the_subjects_that_the_jackknife_leaves() -> None:
    """Jeffreys' 95 % interval of 10 in 20 (0.2929 to 0.7071) where the variance is that of 20."""
    inside = (0.5 * 40 + 2) / 44
    error = np.sqrt(inside * (1 - inside) / 20)
    assert mid_p_of_members(0.5, scatter(error), 40) == pytest.approx((0.2929, 0.7071), abs=1e-3)
    # Never more subjects than there are.
    assert mid_p_of_members(0.5, scatter(error / 100), 20) == pytest.approx(
        mid_p_of_members(0.5, scatter(0.0), 20)
    )


def test_logit_interval_is_symmetric_about_the_logit() -> None:
    ends = [np.log(p / (1 - p)) for p in students_on_logit(0.5, scatter(0.1), 20)]
    assert ends == pytest.approx([-t.ppf(0.975, 19) * 0.4, t.ppf(0.975, 19) * 0.4])


def test_jackknife_is_counted_once_by_what_it_finds_in_permuted_cohorts() -> None:
    null = np.array([0.0, 1.0, 2.0])  # variance 1
    assert counted_once(scatter(2.0, null=null)) == 4.0  # not measured
    assert counted_once(scatter(2.0, null=null, null_resampled=4.0)) == pytest.approx(1.0)
    assert counted_once(scatter(1.0, null=null, null_resampled=4.0)) == pytest.approx(0.25)
    # Beyond what it finds there it is the scatter of single subjects, which is counted once.
    assert counted_once(scatter(3.0, null=null, null_resampled=4.0)) == pytest.approx(6.0)
    # A jackknife that finds too little where nothing differs is left as it is.
    assert counted_once(scatter(2.0, null=null, null_resampled=0.5)) == 4.0
    halfway = students_on_logit_of_levels(0.5, scatter(0.2, null=null, null_resampled=4.0), 20)
    assert halfway == pytest.approx(students_on_logit(0.5, scatter(0.2 * np.sqrt(0.625)), 20))


def test_permuted_cohorts_show_what_the_jackknife_counts_twice() -> None:
    """Of a mean difference nothing; of a product of two, twice (n / (n - 1))² its scatter."""

    def first_order(pool, a, b):
        return float(np.diff([pool.rows[x, 0].mean() for x in (a, b)])[0])

    def second_order(pool, a, b):
        gaps = pool.rows[a].mean(axis=0) - pool.rows[b].mean(axis=0)
        return float(gaps[0] * gaps[1])

    for function, ratio, repeats in ((first_order, 1.0, 10), (second_order, 2.2, 60)):
        statistic = one_by_one(function)
        found = []
        for seed in range(repeats):
            pool = draw(seed, n=20, d=2)
            rng = np.random.default_rng([seed, 8])
            null = permuted(statistic, pool, 60, rng)
            once_more = null_resampled(pool, rng, partial(jackknife, statistic, pool))
            found.append((once_more, null.var(ddof=1)))
        jackknifed, scattered = np.mean(found, axis=0)
        assert jackknifed / scattered == pytest.approx(ratio, rel=0.2)


@pytest.mark.parametrize("n", [20, 21])
def test_random_halves_scatter_as_cohorts_of_the_whole_size(n: int) -> None:
    """A mean difference's standard error is sqrt(s²/n + s²/n), with an odd n too."""

    def gap(pool, a, b):
        return float(pool.rows[a, 0].mean() - pool.rows[b, 0].mean())

    ratios = []
    for seed in range(30):
        pool = draw(seed, n=n, d=1)
        sides = pool.holdout, pool.synthetic
        rng = np.random.default_rng(seed)
        found = halved(one_by_one(gap), pool, *sides, rng, of_log=False)
        exact = sum(pool.rows[s, 0].var(ddof=1) / n for s in sides)
        ratios.append(found.error**2 / exact)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)
    assert found.freedom == n - 1


def test_a_half_at_distance_zero_has_a_scatter_all_the_same() -> None:
    """Counts with ties: no logarithm there, so the scatter relative to the whole's value."""
    rows = np.array([[0.0], [1.0]] * 4)
    pool = pool_of(train=rows[:0], holdout=rows, synthetic=np.vstack([rows[1:], [[2.0]]]))
    sides, rng = (pool.holdout, pool.synthetic), np.random.default_rng(0)
    plain, of_log = (
        halved(one_by_one(transport), pool, *sides, rng, of_log=log) for log in (False, True)
    )
    assert np.isfinite(of_log.error)
    given = estimated(
        one_by_one(transport), pool, interval=students_on_log, null=np.zeros(0), rng=rng
    )
    assert 0 < given.low < given.value < given.high < np.inf
    assert of_log.error == pytest.approx(plain.error / given.value, rel=0.5)


def test_interval_holds_a_distance_that_turns_on_a_mode_of_few_subjects() -> None:
    """Leaving out one subject at a time hardly shows the mode: 81 % covered."""
    sliced, found = one_by_one(sliced_in_pool), []
    for seed in range(150):
        rng = np.random.default_rng([seed, 2026])
        rows = rng.normal(size=(60, 6)) + np.where(rng.random((60, 1)) < 0.25, 4.0, 0.0)
        pool = pool_of(train=np.zeros((0, 6)), holdout=rows[:30], synthetic=rows[30:] + 1.0)
        null = permuted(sliced, pool, 60, rng)
        given = estimated(sliced, pool, interval=students_on_log, null=null, rng=rng)
        found.append((given.value, given.low, given.high))
    values, lows, highs = np.array(found).T
    assert 0.92 <= np.mean((lows <= values.mean()) & (values.mean() <= highs)) <= 0.98


@pytest.mark.parametrize("fork", [null_resampled, halved])
def test_resampling_once_more_leaves_the_permutations_as_they_are(fork) -> None:
    pool = draw(7, n=10)
    first, second = (np.random.default_rng(3) for _ in range(2))
    if fork is halved:
        halved(FRECHET, pool, pool.holdout, pool.synthetic, first, of_log=True)
    else:
        null_resampled(pool, first, partial(jackknife, FRECHET, pool))
    assert np.array_equal(permuted(FRECHET, pool, 3, first), permuted(FRECHET, pool, 3, second))


def test_count_interval_is_open_where_nothing_was_counted() -> None:
    """Garwood's exact upper end of 0 events is 3.689; mid-P of 10 lies in [4.795, 18.39]."""
    assert effective_garwood(0.0, scatter(0.0), 20) == (0.0, pytest.approx(3.6889 / 20, rel=1e-4))
    # A Poisson count of 10 in an exposure of 10 has variance 1 / 10.
    low, high = effective_garwood(1.0, scatter(np.sqrt(0.1)), 20)
    assert (low, high) == (pytest.approx(0.5142, rel=1e-3), pytest.approx(1.774, rel=1e-3))


def test_log_interval_is_a_factor_either_way_about_the_mean_of_a_log_normal() -> None:
    """Upward with the permutations' scatter, which off the null counts in proportion to it."""
    q, mean = t.ppf(0.975, 19), 0.25**2 / 2
    low, high = students_on_log(2.0, scatter(0.25), 20)
    assert low * high == pytest.approx(4.0 * np.exp(2 * mean))
    assert high / 2 == pytest.approx(np.exp(mean + q * 0.25))
    null = np.array([1.0, 1.2, 1.4])  # SD 0.2
    below, above = students_on_log(2.0, scatter(0.25, null=null), 20)
    assert below == pytest.approx(low)
    assert above / 2 == pytest.approx(
        1 + np.hypot(np.expm1(mean + q * 0.25), np.expm1(q * OFF_NULL * 0.1 * 0.6))
    )


def test_upper_end_of_a_distance_far_below_the_null_stays_in_reach_of_it() -> None:
    """With the permutations' scatter relative to the value its end was ten million times it."""
    null = np.random.default_rng(0).normal(1.0, 0.4, size=200)
    _, high = students_on_log(0.1, scatter(0.3, null=null), 20)
    assert 1.0 < high < 6.0


def test_squared_distance_has_the_squared_interval_of_its_root() -> None:
    """But for the mean of a square, which lies above the square of the mean by the variance."""
    root = students_on_log(2.0, scatter(0.25), 20)
    squared = students_on_log_of_squared(4.0, scatter(0.5), 20)
    assert squared == pytest.approx(np.square(root) * np.exp(0.25**2))
    null = np.array([1.2, 1.4, 1.5, 1.6])
    permuted_root = students_on_log(2.0, scatter(1e-6, null=null), 20)
    permuted_squared = students_on_log_of_squared(4.0, scatter(2e-6, null=null**2), 20)
    assert permuted_squared == pytest.approx(np.square(permuted_root))


def test_interval_of_a_logarithm_is_the_logarithm_of_the_interval() -> None:
    """It is for the mean of the logarithm, which is that of the distance less half its variance."""
    plain = students_on_log_of_squared(2.0, scatter(0.45), 20)
    logged = students_of_log(np.log(2.0), scatter(0.45), 20)
    assert logged == pytest.approx(np.log(plain) - 0.45**2 / 2)
    null = np.array([1.5, 1.9, 2.2, 2.6])
    plain = students_on_log_of_squared(2.0, scatter(1e-6, null=null), 20)
    logged = students_of_log(np.log(2.0), scatter(1e-6, null=np.log(null)), 20)
    assert logged == pytest.approx(np.log(plain))


def test_interval_of_a_ratio_counts_the_jackknife_once() -> None:
    null = np.array([0.9, 1.0, 1.1])
    low, high = students_on_log_of_ratio(2.0, scatter(0.4, null=null, null_resampled=0.02), 20)
    assert low * high == pytest.approx(4.0)
    assert high / 2 == pytest.approx(np.exp(t.ppf(0.975, 19) * np.sqrt(0.16 - 0.01) / 2))


def test_difference_counts_pairs_once() -> None:
    """Permutations scatter half as much as their jackknife says: so does this value."""
    q, null = t.ppf(0.975, 19), np.array([-1.0, 0.0, 1.0])
    low, high = students(1.0, scatter(2.0, null=null, null_resampled=2.0), 20)
    assert (low, high) == pytest.approx((1 - np.sqrt(3) * q, 1 + np.sqrt(3) * q))


def test_extrapolation_keeps_the_ends_of_the_distance_at_n() -> None:
    """Without a fit's error they are as far from it as those of the distance are."""
    low, high = students_on_log_of_squared(2.0, scatter(0.3), 20)
    moved = students_of_extrapolated(-0.1, scatter(0.3, at_n=2.0), 20)
    assert moved == pytest.approx((low - 2.1, high - 2.1))
    fitted = students_of_extrapolated(-0.1, scatter(0.3, at_n=2.0, fit_error=0.4), 20)
    assert high - fitted[1] - 2.1 == pytest.approx(
        (high - 2) - np.hypot(high - 2, 0.4 * t.ppf(0.975, 19))
    )
    wider = students_of_extrapolated(-0.1, scatter(0.3, at_n=2.0, null_error=0.4), 20)
    assert wider[0] == moved[0]
    assert wider[1] == pytest.approx(2 * np.expm1(0.3**2 / 2 + 0.5 * t.ppf(0.975, 19)) - 0.1)
    with pytest.raises(Unscattered):
        students_of_extrapolated(0.0, scatter(0.3), 20)


@pytest.mark.parametrize("value", [-0.5, 0.0, 0.3, 9.0])
def test_score_interval_ends_where_the_value_is_t_standard_deviations_away(value: float) -> None:
    given = scatter(1.0, null_error=0.4, slope=0.5, slope_above=0.7)
    low, high = score_interval(value, given, 20)
    q = t.ppf(0.975, 19)
    lean = NULL_TAIL_BELOW
    assert high - value == pytest.approx(q * np.sqrt((0.4 * lean) ** 2 + 0.7 * high))
    skew = NULL_TAIL_ABOVE if low > 0 else 1.0
    assert value - low == pytest.approx(q * np.sqrt((0.4 * skew) ** 2 + 0.5 * max(low, 0.0)))


def test_score_interval_of_a_value_far_below_zero_stays_finite_and_ordered() -> None:
    low, high = score_interval(-3.0, scatter(1.0, null_error=0.4, slope=50.0, slope_above=50.0), 20)
    assert low < -3.0 < high < 0


@pytest.mark.parametrize(
    "interval",
    [
        *(students, students_on_log, students_on_log_of_squared, students_on_log_of_ratio),
        score_interval,
    ],
)
def test_no_scatter_gives_no_interval_rather_than_one_of_no_width(interval) -> None:
    rows = np.ones((10, 2))
    pool = pool_of(train=rows, holdout=rows, synthetic=rows + 1)
    rng = np.random.default_rng(0)
    found = estimated(FRECHET, pool, interval=interval, null=np.full(5, 2.0), rng=rng)
    assert found.value == pytest.approx(2.0)
    assert found.low is found.high is None
    assert "every subsample gives the same value" in found.method


def test_every_interval_has_a_name() -> None:
    assert len(set(METHODS.values())) == len(METHODS) == 11


@pytest.mark.parametrize("statistic", [FRECHET, kernel_statistic])
def test_permutation_test_keeps_its_size(statistic) -> None:
    """5 % ± 2 % of honest cohorts are called different, biased statistic or not."""
    rejected = 0
    for seed in range(400):
        pool = draw(seed, n=15, d=5)
        both = np.concatenate([pool.holdout, pool.synthetic])
        rng = np.random.default_rng([seed, 5])
        orders = [rng.permutation(both) for _ in range(39)]
        observed = statistic(pool, [pool.holdout], [pool.synthetic])[0]
        null = statistic(pool, [o[:15] for o in orders], [o[15:] for o in orders])
        rejected += (1 + np.sum(null >= observed)) / 40 <= 0.05
    assert 0.03 <= rejected / 400 <= 0.07


def test_clusters_are_relabeled_whole_and_keep_the_size() -> None:
    """Six rows a subject as if independent reject honest cohorts far too often."""

    def gap(a: np.ndarray, b: np.ndarray) -> float:
        return float(abs(a.mean() - b.mean()))

    naive = clustered = 0
    subjects = [f"s{k}" for k in range(12) for _ in range(6)]
    for seed in range(150):
        rng = np.random.default_rng([seed, 9])
        a, b = (np.repeat(rng.normal(size=12), 6) + 0.1 * rng.normal(size=72) for _ in range(2))
        naive += permutation_p_value(gap, a, b, rng=rng, permutations=59).p_value <= 0.05
        clustered += (
            permutation_p_value(
                gap, a, b, rng=rng, subjects_a=subjects, subjects_b=subjects, permutations=59
            ).p_value
            <= 0.05
        )
    assert naive / 150 > 0.2
    assert clustered / 150 < 0.11


def whole(pool: Pool, **options) -> Inference:
    return infer(FRECHET, pool, rng=np.random.default_rng(0), permutations=99, splits=40, **options)


def test_floor_is_the_honest_value_and_a_shift_stands_above_it() -> None:
    honest, shifted = whole(draw(1)), whole(draw(1, shift=1.0))
    assert honest.floor is not None
    assert honest.floor.low <= honest.estimate.value <= honest.floor.high * 1.5
    assert shifted.floor is not None
    assert shifted.estimate.low > shifted.floor.high
    assert shifted.test.p_value == pytest.approx(0.01)
    assert shifted.verdict == "differs from real"


def test_more_subjects_detect_smaller_shifts() -> None:
    few, many = whole(draw(2, n=8)), whole(draw(2, n=120))
    assert many.smallest_shift_sd is not None
    assert few.smallest_shift_sd is None or few.smallest_shift_sd > many.smallest_shift_sd
    assert many.smallest_shift_sd <= 0.6


def test_too_few_subjects_say_so() -> None:
    found = whole(draw(3, n=5))
    assert found.test.p_value > 0.05
    assert found.verdict == "n too small to say"
    with pytest.raises(NotComputable, match="at least 4"):
        whole(draw(3, n=3))


def test_silence_is_called_equality_only_with_power() -> None:
    assert verdict(0.3, 0.5) == "not distinguishable at this n"
    assert verdict(0.3, None) == "n too small to say"
    assert verdict(0.04, None) == "differs from real"


def test_no_floor_without_twice_n_real_subjects() -> None:
    rng = np.random.default_rng(4)
    pool = pool_of(
        train=rng.normal(size=(3, 2)),
        holdout=rng.normal(size=(10, 2)),
        synthetic=rng.normal(size=(10, 2)),
    )
    assert whole(pool).floor is None
    with pytest.raises(NotComputable, match="20 for a floor at n = 10"):
        split_half_floor(wasserstein_1, np.arange(15.0), n=10, rng=rng)


def test_interval_of_a_distance_stays_above_zero() -> None:
    assert whole(draw(5), interval=students_on_log).estimate.low > 0.0


def test_split_half_floor_keeps_subjects_on_one_side() -> None:
    rows = np.repeat(np.arange(20.0), 3)
    subjects = [f"s{int(v)}" for v in rows]
    seen = []

    def shared(a: np.ndarray, b: np.ndarray) -> float:
        seen.append(len(np.intersect1d(a, b)))
        return 0.0

    floor = split_half_floor(
        shared, rows, n=10, rng=np.random.default_rng(0), subjects=subjects, repeats=5
    )
    assert seen == [0] * 5
    assert floor.n == 10


def test_one_row_of_each_subject() -> None:
    picks = one_per_subject(["a", "b", "a", "c", "b"], np.random.default_rng(0))
    assert sorted(["a", "b", "a", "c", "b"][i] for i in picks) == ["a", "b", "c"]


def test_wasserstein_and_energy_of_a_shift() -> None:
    rows = np.random.default_rng(6).normal(size=200)
    assert wasserstein_1(rows, rows + 2) == pytest.approx(2)
    assert energy_distance(rows, rows) == pytest.approx(0, abs=1e-12)
    # Two points each: 2 * 3 - 0 - 0.
    assert energy_distance([[0.0, 0.0]], [[3.0, 0.0]]) == pytest.approx(6)
    with pytest.raises(NotComputable, match="empty"):
        wasserstein_1([], rows)


def test_transport_of_pool_is_scipys() -> None:
    rng = np.random.default_rng(7)
    pool = pool_of(
        train=np.zeros((0, 1)),
        holdout=rng.normal(size=(30, 1)),
        synthetic=rng.gamma(2, size=(30, 1)),
    )
    real, synthetic = (pool.rows[p, 0] for p in (pool.holdout, pool.synthetic))
    assert transport(pool, pool.holdout, pool.synthetic) == pytest.approx(
        wasserstein_1(real, synthetic)
    )


def test_holm_and_benjamini_hochberg_are_the_textbook_values() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert np.allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    assert np.allclose(benjamini_hochberg(p), [0.02, 0.04, 0.04, 0.02])
