"""Copies of a patient who is in train more than once are found all the same."""

from dataclasses import replace

import numpy as np
import pytest

from audit.cohort import cohort_of
from audit.copies.candidates import candidates
from audit.copies.confirmation import confirm
from audit.copies.duplicates import linked, patients_of
from audit.errors import NotComputable
from audit.metrics.memorization.neighbor_ratio import neighbor_ratio


@pytest.fixture(scope="module")
def duplicated(thorax_comparison):
    """Train with patient 3 under two further names, once with noise; 2 samples copy that patient.

    The encoder is that of the cohort without duplicates: it is not what is tested.
    """
    base = thorax_comparison
    base.encoder("ssl3d")
    weights = next(base.workshop.cache.root.rglob("*.safetensors"))
    source = base.train[3]
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 5, source.image.array.shape).astype(np.float32)
    noisy = replace(source.image, array=source.image.array + noise)
    twins = [
        replace(source, id="again", subject="again"),
        replace(source, id="noisy", subject="noisy", image=noisy),
    ]
    made = [replace(source, id=f"s{i}", subject=f"s{i}") for i in range(2)]
    return replace(
        base,
        train=cohort_of("train", [*base.train, *twins]),
        holdout=base.holdout.subset(range(10)),
        synthetic=cohort_of("synthetic", [*made, *(base.synthetic[i] for i in range(3))]),
        workshop=replace(base.workshop, weights={"ssl3d": weights}),
        _made={},
    )


def test_duplicates_count_as_one_patient(duplicated):
    patients, n = patients_of(duplicated), len(duplicated.train)
    assert patients[3] == patients[n - 1] == patients[n - 2]
    assert len(np.unique(patients)) == n - 2


def test_copies_of_a_duplicated_patient_are_confirmed(duplicated):
    result = confirm(duplicated)
    assert result.confirmed[:2].all()
    assert not result.confirmed[2:].any()
    assert set(result.fit.source[:2]) <= {3, 24, 25}


def test_one_candidate_is_of_another_patient(duplicated):
    rows = candidates(duplicated, duplicated.features("ssl3d").synthetic[:1])
    assert len(set(patients_of(duplicated)[rows[0]])) > 1


def test_the_neighbor_ratio_of_a_duplicated_patient_is_zero():
    rng = np.random.default_rng(2)
    train = rng.standard_normal((20, 16))
    twice, patients = np.concatenate([train, train[:1]]), np.array([*range(20), 0])
    copy = train[:1] + 1e-3 * rng.standard_normal((1, 16))
    assert neighbor_ratio(train=twice, queries=copy)[0] > 0.99
    assert neighbor_ratio(train=twice, queries=copy, patients=patients)[0] < 0.01
    with pytest.raises(NotComputable, match="of one patient"):
        neighbor_ratio(train=train, queries=train, patients=np.zeros(20, np.int64))


def test_pairs_that_share_a_row_are_one_group():
    groups = linked(6, {(0, 1), (1, 2), (4, 5)})
    assert groups[0] == groups[1] == groups[2]
    assert groups[4] == groups[5]
    assert len({groups[0], groups[3], groups[4]}) == 3
    assert len(set(linked(3, set()))) == 3
