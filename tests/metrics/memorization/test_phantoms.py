"""The whole search on phantoms: replay fails, fresh patients pass, planted copies are found."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from audit.cohort import cohort_of
from audit.copies.confirmation import confirm
from audit.copies.search import encoder_auc, find_matches
from audit.errors import NotComputable
from audit.metric import METRICS


@pytest.fixture(scope="module")
def comparison(thorax_comparison, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return replace(thorax_comparison, folder=folder, options={"encoder_seeds": 1}, _made={})


@pytest.fixture(scope="module")
def replay(comparison):
    cases = [
        replace(comparison.train[i], id=f"sample-{i}", subject=f"sample-{i}") for i in range(12)
    ]
    folder = comparison.folder / "replay"
    return replace(comparison, synthetic=cohort_of("synthetic", cases), folder=folder, _made={})


def measure(name, comparison):
    metric = METRICS.load(f"memorization.{name}")
    return metric.compute(comparison, np.random.default_rng(0))


def test_the_encoder_tells_copies_of_held_out_patients_from_others(comparison):
    assert encoder_auc(comparison).value >= 0.95


def test_fresh_patients_pass(comparison):
    found = measure("copy_rate", comparison)
    assert found.estimate.value <= 0.1
    assert found.params["verdict"].startswith("no evidence at a detectable rate of")
    assert measure("similarity_rate", comparison).p_value > 0.01


def test_a_generator_that_replays_its_training_set_fails(replay):
    found = measure("copy_rate", replay)
    assert found.estimate.value == 1.0
    assert found.params["verdict"] == "copies confirmed"
    assert found.cases["memorization.flagged"].all()
    np.testing.assert_array_equal(confirm(replay).fit.source, np.arange(12))


@pytest.mark.parametrize("name", ["similarity_rate", "partial_copies"])
def test_replay_resembles_train_more_than_the_holdout_does(replay, name):
    found = measure(name, replay)
    assert found.estimate.value == 1.0
    assert found.p_value < 1e-4


def half_copies(comparison, degrees, axes=(3, 4)):
    """Fresh patients whose lower half is a training patient's, turned, here in its plane."""
    from scipy.ndimage import rotate

    cases = []
    for i in range(8):
        fresh, source = comparison.synthetic[i], comparison.train[i].image.array
        turned = rotate(source, degrees, axes=axes, reshape=False, order=1, mode="nearest")
        array = np.concatenate([turned[:, :, :16], fresh.image.array[:, :, 16:]], axis=2)
        cases.append(replace(fresh, image=replace(fresh.image, array=array)))
    return cohort_of("synthetic", cases)


def test_a_part_of_a_patient_is_found(comparison):
    halves = half_copies(comparison, 0)
    found = measure("partial_copies", replace(comparison, synthetic=halves, _made={}))
    assert found.estimate.value >= 0.75
    assert found.p_value < 1e-3


def test_frames_of_a_patient_are_found_at_another_time_of_the_cine(heart_comparison):
    fresh, train = heart_comparison.synthetic, heart_comparison.train

    def with_frames(i):
        array = fresh[i].image.array.copy()
        array[:, 5:7] = train[i].image.array[:, 1:3]
        return replace(fresh[i], image=replace(fresh[i].image, array=array))

    copies = cohort_of("synthetic", [with_frames(i) for i in range(4)])
    found = measure("partial_copies", replace(heart_comparison, synthetic=copies, _made={}))
    assert found.estimate.value == 1.0
    honest = cohort_of("synthetic", [fresh[i] for i in range(4, 12)])
    found = measure("partial_copies", replace(heart_comparison, synthetic=honest, _made={}))
    assert found.p_value > 0.01


@pytest.mark.parametrize(("degrees", "axes"), [(-6, (3, 4)), (10, (3, 4)), (9, (2, 3))])
def test_a_part_of_a_patient_is_found_also_where_it_was_turned(comparison, degrees, axes):
    halves = half_copies(comparison, degrees, axes)
    found = measure("partial_copies", replace(comparison, synthetic=halves, _made={}))
    assert found.estimate.value >= 0.75


@pytest.mark.parametrize("name", ["authenticity", "neighbor_ratio", "closest_record"])
def test_replay_has_no_distance_to_train(replay, name):
    assert measure(name, replay).estimate.value < 0.01


def test_the_published_protocol_is_reported_beside_its_null(replay):
    found = measure("dar_protocol", replay)
    assert found["copies"].estimate.value == 1.0
    assert found["copies"].reference["null"] == pytest.approx(1 - 0.95 ** (24 / 24))
    assert found["memorized"].reference["null"] == pytest.approx(1 - 0.95 ** (12 / 24))


def test_no_verdict_promises_privacy(comparison, replay):
    for c in (comparison, replay):
        words = measure("copy_rate", c).params["verdict"].lower()
        assert not any(w in words for w in ("private", "safe", "anonymous"))


def test_pairs_are_private_and_name_no_patient(replay):
    find_matches(replay)
    confirm(replay)
    file = replay.folder / "private" / "pairs.csv"
    assert file.stat().st_mode & 0o077 == 0
    text = file.read_text()
    assert len(pd.read_csv(file)) == 12
    assert not any(name in text for name in (*replay.train.ids, *replay.holdout.ids))


def test_no_measurement_names_a_real_case_or_a_path(comparison, replay):
    for name in ("copy_rate", "similarity_rate", "multiplicity", "duplicates", "dar_protocol"):
        found = measure(name, replay)
        for part in found.values() if isinstance(found, dict) else [found]:
            text = repr((part.params, part.series, part.reference))
            if part.cases is not None:
                text += part.cases.to_csv()
            real = (*replay.train.ids, *replay.holdout.ids, *replay.train.subjects)
            assert not any(word in text for word in (*real, str(comparison.folder), "/tmp"))


def test_a_patient_on_both_sides_of_the_split_is_found(comparison):
    twin = replace(comparison.train[3], id="renamed", subject="renamed")
    others = [comparison.holdout[i] for i in range(8)]
    leaky = replace(
        comparison,
        holdout=cohort_of("holdout", [*others, twin]),
        options={"memorization_extractor": "ssl3d"},
        _made={},
    )
    found = measure("duplicates", leaky)
    assert found["across"].params["exact_pairs"] == 1
    assert found["across"].estimate.value == pytest.approx(1 / 9)
    assert found["train"].estimate.value == 0


def test_an_encoder_that_cannot_tell_copies_apart_is_inconclusive(comparison):
    blind = replace(comparison, options={"memorization_extractor": "intensity"}, _made={})
    with pytest.raises(NotComputable, match=r"inconclusive: .* area under the curve of 0\.\d+"):
        measure("similarity_rate", blind)


@pytest.mark.slow
def test_registration_confirms_copies_that_a_blind_encoder_names_and_rules_out_none(
    comparison, replay
):
    options = {"memorization_extractor": "intensity"}
    with pytest.raises(NotComputable, match="inconclusive"):
        measure("copy_rate", replace(comparison, options=options, _made={}))
    found = measure("copy_rate", replace(replay, options=options, _made={}))
    assert found.params["verdict"] == "copies confirmed"


def test_a_holdout_too_small_for_the_claim_is_said(comparison):
    small = replace(comparison, holdout=comparison.holdout.subset(range(10)), _made={})
    with pytest.raises(NotComputable, match="at least 19"):
        measure("copy_rate", small)


def test_one_encoder_has_no_agreement(comparison):
    with pytest.raises(NotComputable, match="one encoder was trained"):
        measure("seed_agreement", comparison)


@pytest.mark.slow
def test_planted_copies_are_recovered_up_to_ten_degrees_and_five_percent_noise(comparison):
    found = measure("planted_recovery", comparison)
    for rung, part in found.items():
        assert part.estimate.value >= 0.9, rung


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_confirmed_copies_among_fresh_patients_have_recall_and_precision(comparison, share):
    from audit.phantoms.failures import spoil

    mixed = spoil(comparison.synthetic, "copying", share, seed=3, train=comparison.train)
    result = confirm(replace(comparison, synthetic=mixed, _made={}))
    changed = np.array(mixed.case_hashes) != np.array(comparison.synthetic.case_hashes)
    assert result.confirmed[changed].mean() >= 0.9
    assert (changed & result.confirmed).sum() / result.confirmed.sum() >= 0.95


def null_fit(rng, n):
    from audit.copies.confirmation import Fit

    ncc, gap = np.tanh(rng.normal(0.6, 0.2, n)), np.abs(rng.normal(0, 0.2, n))
    return Fit(ncc=ncc, ssim=ncc, gap=gap, source=np.zeros(n, np.int64))


def test_the_prediction_limits_are_exceeded_as_often_as_they_state():
    from audit.copies.confirmation import limits_of

    for n_null in (19, 60):
        shares = []
        for seed in range(100):
            rng = np.random.default_rng(seed)
            limits, fresh = limits_of(null_fit(rng, n_null)), null_fit(rng, 1000)
            shares.append([np.mean(fresh.ncc > limits[0]), np.mean(fresh.gap > limits[1])])
        np.testing.assert_allclose(np.mean(shares, axis=0), [0.001, 0.01], rtol=0.5)


def test_a_held_out_patient_who_is_also_in_train_does_not_raise_the_limits():
    from audit.copies.confirmation import Fit, limits_of

    null = null_fit(np.random.default_rng(0), 24)
    twin = Fit(**{k: np.append(v, 0.999 if k != "gap" else 3.0) for k, v in vars(null).items()})
    assert limits_of(twin) == pytest.approx(limits_of(null), abs=1e-9)


def test_a_single_copy_of_a_small_cohort_is_said(comparison):
    from audit.phantoms.failures import spoil

    one = comparison.synthetic.subset(range(6))
    mixed = spoil(one, "copying", 1 / 6, seed=5, train=comparison.train)
    found = measure("copy_rate", replace(comparison, synthetic=mixed, _made={}))
    assert found.estimate.value == pytest.approx(1 / 6)
    assert found.params["verdict"] == "copies confirmed"
