"""What the numbers of memorization show on independent embeddings: nobody copies anybody."""

import numpy as np
import pytest

from audit.comparison import Features
from audit.copies.search import auc_by_patient, matches_of
from audit.errors import NotComputable
from audit.metrics.memorization.authenticity import authentic
from audit.metrics.memorization.closest_record import ratio_of_medians
from audit.metrics.memorization.dar_protocol import dar_protocol, expected_null
from audit.metrics.memorization.memorized_share import memorized_share
from audit.metrics.memorization.multiplicity import hits_by_patient
from audit.metrics.memorization.near_duplicates import near_duplicates, twins_by_chance
from audit.metrics.memorization.neighbor_ratio import neighbor_ratio
from audit.metrics.memorization.seed_agreement import agreement
from audit.statistics.conformal import (
    chance_of_more_flagged,
    conformal_p_values,
    flagged_range,
    share_by_subject,
    smallest_detectable,
)

SEEDS = 20


def rows(n, rng, d=32):
    return rng.standard_normal((n, d))


def features(train, holdout, synthetic):
    names = [tuple(f"{role}{i}" for i in range(len(r))) for role, r in
             (("t", train), ("h", holdout), ("s", synthetic))]  # fmt: skip
    return Features(
        extractor="test",
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        train_subjects=names[0],
        holdout_subjects=names[1],
        synthetic_subjects=names[2],
        params={},
    )


@pytest.mark.parametrize("ratio", [1, 4, 50])
def test_novel_samples_are_flagged_at_the_nominal_rate_for_any_pool_ratio(ratio):
    holdout = 100
    shares = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        found = matches_of(features(rows(holdout * ratio, rng), rows(holdout, rng), rows(400, rng)))
        shares.append(found.suspicious.mean())
    assert np.mean(shares) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(("n_train", "n_holdout", "n_synthetic"), [(300, 75, 300), (200, 200, 200)])
def test_the_published_protocol_flags_what_the_formula_says(n_train, n_holdout, n_synthetic):
    memorized, copies = [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        _, m, c = dar_protocol(
            train=rows(n_train, rng), holdout=rows(n_holdout, rng), synthetic=rows(n_synthetic, rng)
        )
        memorized.append(m.mean())
        copies.append(c.mean())
    null = expected_null(n_synthetic, n_holdout)
    assert np.mean(memorized) == pytest.approx(null, abs=0.03)
    assert np.mean(copies) == pytest.approx(expected_null(n_train, n_holdout), abs=0.03)


def test_the_published_protocol_equals_its_own_distance_code():
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(3)
    train, holdout, synthetic = rows(60, rng), rows(20, rng), rows(40, rng)
    cut = np.percentile(cdist(train, holdout, "correlation").min(axis=1), 5)
    apart = cdist(train, synthetic, "correlation")
    threshold, memorized, copies = dar_protocol(train=train, holdout=holdout, synthetic=synthetic)
    assert threshold == pytest.approx(1 - cut, abs=1e-6)
    np.testing.assert_array_equal(memorized, apart.min(axis=1) < cut)
    np.testing.assert_array_equal(copies, apart.min(axis=0) < cut)


def test_swapping_train_and_holdout_changes_the_answer():
    rng = np.random.default_rng(4)
    train, holdout = rows(50, rng), rows(50, rng)
    copies = train[:30] + 0.05 * rows(30, rng)
    assert matches_of(features(train, holdout, copies)).suspicious.all()
    assert matches_of(features(holdout, train, copies)).suspicious.mean() < 0.3


def test_size_matched_memorized_share_is_five_percent_without_copying():
    shares = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        often = memorized_share(
            train=rows(300, rng), holdout=rows(60, rng), synthetic=rows(600, rng), rng=rng
        )
        shares.append(often.mean())
    assert np.mean(shares) == pytest.approx(0.05, abs=0.02)


def test_size_matched_memorized_share_sees_copies():
    rng = np.random.default_rng(0)
    train = rows(100, rng)
    often = memorized_share(train=train, holdout=rows(100, rng), synthetic=train, rng=rng)
    assert often.mean() > 0.9


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_planted_copies_are_found_with_few_false_discoveries(share):
    rng = np.random.default_rng(5)
    train, holdout, synthetic = rows(400, rng), rows(400, rng), rows(400, rng)
    planted = round(share * 400)
    synthetic[:planted] = train[:planted] + 0.1 * rows(planted, rng)
    found = matches_of(features(train, holdout, synthetic))
    assert found.suspicious[:planted].mean() >= 0.95
    flagged = found.discoveries
    assert flagged[:planted].mean() >= 0.9
    assert flagged[planted:].sum() / max(flagged.sum(), 1) <= 0.2
    np.testing.assert_array_equal(found.synthetic_index[:planted, 0], np.arange(planted))


def test_p_values_count_ties_as_at_least_as_similar():
    np.testing.assert_allclose(conformal_p_values([1, 2, 3], [0, 2, 4]), [1, 0.75, 0.25])


def test_a_threshold_at_the_fifth_percentile_of_strangers_would_flag_nearly_all():
    rng = np.random.default_rng(6)
    null, novel = rng.standard_normal(200), rng.standard_normal(200)
    wrong = novel > np.percentile(null, 5)
    assert wrong.mean() > 0.9
    assert (conformal_p_values(null, novel) <= 0.05).mean() < 0.15


def test_the_range_of_flagged_shares_covers_what_simulation_shows():
    low, high = flagged_range(60, 40, 0.05)
    shares = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        p = conformal_p_values(rng.standard_normal(40), rng.standard_normal(60))
        shares.append((p <= 0.05).mean())
    assert np.mean([low <= s <= high for s in shares]) >= 0.94
    more = np.mean([s * 60 >= 6 for s in shares])
    assert chance_of_more_flagged(6, 60, 40, 0.05) == pytest.approx(more, abs=0.05)


def test_too_small_a_holdout_is_said_and_not_called_zero_copies():
    with pytest.raises(NotComputable, match="18 held-out patients .* at least 19"):
        flagged_range(50, 18, 0.05)


def test_the_fewest_detectable_is_what_the_procedure_can_show():
    assert smallest_detectable(904, 226, 0.1) == 40
    assert smallest_detectable(100, 5, 0.1) == 101


def test_the_interval_of_a_share_knows_that_a_patients_volumes_are_alike():
    flags = np.repeat([1, 0, 0, 0, 1, 0, 0, 0, 0, 0], 8)
    alone = share_by_subject(flags, [str(i) for i in range(80)])
    grouped = share_by_subject(flags, [str(i // 8) for i in range(80)])
    assert grouped.n == 10
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_clustered_intervals_cover():
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rate = rng.beta(0.1, 0.9, 50)
        flags = rng.random((50, 4)) < rate[:, None]
        share = share_by_subject(flags.ravel(), [str(i // 4) for i in range(200)])
        hits += share.low <= 0.1 <= share.high
    assert hits / 200 >= 0.88


def test_none_of_a_hundred_is_below_four_percent():
    share = share_by_subject(np.zeros(100), [str(i) for i in range(100)])
    assert (share.value, round(share.high, 3)) == (0.0, 0.036)


@pytest.mark.parametrize(("d", "low", "high"), [(2, 0.3, 0.5), (8, 0.4, 0.65), (32, 0.5, 0.8)])
def test_copies_are_not_authentic_and_strangers_are_about_half_of_the_time(d, low, high):
    rng = np.random.default_rng(7)
    train = rows(400, rng, d)
    assert not authentic(train=train, synthetic=train).any()
    assert low < authentic(train=train, synthetic=rows(800, rng, d)).mean() < high


def test_authenticity_equals_brute_force():
    rng = np.random.default_rng(8)
    train, synthetic = rows(40, rng), rows(25, rng)
    between = np.linalg.norm(synthetic[:, None] - train[None], axis=-1)
    within = np.linalg.norm(train[:, None] - train[None], axis=-1)
    np.fill_diagonal(within, np.inf)
    nearest = between.argmin(axis=1)
    expected = between.min(axis=1) > within.min(axis=1)[nearest]
    np.testing.assert_array_equal(authentic(train=train, synthetic=synthetic), expected)


def test_one_training_volume_has_no_neighbor_ratio():
    with pytest.raises(NotComputable, match="1 training volumes"):
        neighbor_ratio(train=np.eye(3)[:1], queries=np.eye(3))
    with pytest.raises(NotComputable, match="1 training volumes"):
        authentic(train=np.eye(3)[:1], synthetic=np.eye(3))


def test_the_neighbor_ratio_of_a_copy_is_zero():
    rng = np.random.default_rng(9)
    train = rows(30, rng)
    assert neighbor_ratio(train=train, queries=train[:5]).max() < 1e-5


def test_the_ratio_of_medians_of_one_law_is_one():
    rng = np.random.default_rng(10)
    estimate = ratio_of_medians(1 + rng.random(200), 1 + rng.random(200), rng)
    assert estimate.low < 1 < estimate.high


def test_a_repeating_generator_has_twins_and_an_honest_one_as_many_as_chance():
    rng = np.random.default_rng(11)
    holdout = rows(60, rng)
    repeated = rows(10, rng)[rng.integers(0, 10, 120)] + 0.1 * rows(120, rng)
    found = near_duplicates(holdout=holdout, synthetic=repeated, rng=rng)
    assert found.value > 0.9
    assert twins_by_chance(holdout=holdout, synthetic=repeated, rng=rng).max() < found.value
    honest = [
        near_duplicates(holdout=rows(60, g), synthetic=rows(120, g), rng=g).value
        for g in map(np.random.default_rng, range(8))
    ]
    assert np.mean(honest) == pytest.approx(0.05, abs=0.04)


def test_the_interval_of_twins_holds_at_few_volumes():
    """Twins come in pairs: redrawing volumes left out the expectation in half of all cohorts."""
    estimates = [
        near_duplicates(holdout=rows(24, g), synthetic=rows(24, g), rng=g)
        for g in map(np.random.default_rng, range(60))
    ]
    expected = np.mean([e.value for e in estimates])
    assert np.mean([e.low <= expected <= e.high for e in estimates]) >= 0.92


def test_chance_alone_explains_the_twins_of_an_honest_generator():
    p_values = []
    for g in map(np.random.default_rng, range(40)):
        both = {"holdout": rows(24, g), "synthetic": rows(24, g)}
        chance = twins_by_chance(**both, rng=g)
        p_values.append(np.mean(chance >= near_duplicates(**both, rng=g).value))
    assert np.mean(np.array(p_values) <= 0.05) <= 0.15


def test_hits_are_counted_by_patient_and_not_by_volume():
    counts = hits_by_patient(np.array([0, 1, 1, 2, 3]), ("a", "a", "b", "c"))
    np.testing.assert_array_equal(counts, [3, 1, 1])


def test_agreement_is_one_where_encoders_agree():
    flags = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]], bool)
    np.testing.assert_allclose(agreement(flags), [1, 1, 1 / 3])


def test_the_area_under_the_curve_of_separated_scores_is_one_and_of_equal_ones_a_half():
    ones = np.ones((6, 2))
    assert auc_by_patient(ones, ones[:, :1] - 1).value == 1.0
    assert auc_by_patient(ones, ones[:, :1]).value == 0.5
