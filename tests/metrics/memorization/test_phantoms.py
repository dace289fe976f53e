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
    np.testing.assert_array_equal(confirm(replay).source, np.arange(12))


@pytest.mark.parametrize("name", ["similarity_rate", "partial_copies"])
def test_replay_resembles_train_more_than_the_holdout_does(replay, name):
    found = measure(name, replay)
    assert found.estimate.value == 1.0
    assert found.p_value < 1e-4


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
        measure("copy_rate", blind)


def test_a_holdout_too_small_for_the_claim_is_said(comparison):
    small = replace(comparison, holdout=comparison.holdout.subset(range(10)), _made={})
    with pytest.raises(NotComputable, match="at least 19"):
        measure("copy_rate", small)


def test_one_encoder_has_no_agreement(comparison):
    with pytest.raises(NotComputable, match="one encoder was trained"):
        measure("seed_agreement", comparison)


@pytest.mark.slow
@pytest.mark.xfail(
    reason="recall of copies moved 5 % along all three axes is 0.55 with 24 patients"
)
def test_planted_copies_are_recovered_up_to_ten_degrees_and_five_percent_noise(comparison):
    found = measure("planted_recovery", comparison)
    for rung in ("exact", "shifted", "rotated", "flipped", "noised", "moved_and_noised"):
        assert found[rung].estimate.value >= 0.9, rung


@pytest.mark.slow
@pytest.mark.xfail(reason="recall is 0.75 with 24 training patients; the aim is 0.9")
def test_confirmed_copies_among_fresh_patients_have_precision(comparison):
    from audit.phantoms.failures import spoil

    mixed = spoil(comparison.synthetic, "copying", 0.5, seed=3, train=comparison.train)
    result = confirm(replace(comparison, synthetic=mixed, _made={}))
    changed = np.array(mixed.case_hashes) != np.array(comparison.synthetic.case_hashes)
    assert result.confirmed[changed].mean() >= 0.9
    assert (changed & result.confirmed).sum() / result.confirmed.sum() >= 0.9
