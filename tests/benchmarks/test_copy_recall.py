"""Recall and precision of confirmed copies, on phantoms of seeds that nothing was tuned on.

Every rung of the ladder is planted among fresh patients. Whether a volume is confirmed does not
depend on the other synthetic volumes, so that one search serves all shares of copies.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.cache import Cache
from audit.cohort import Case, cohort_of
from audit.comparison import Comparison
from audit.copies.confirmation import confirm
from audit.copies.planted import LADDER, plant
from audit.extractor import Workshop
from audit.ledger import Ledger
from audit.networks.ssl_training import blur
from audit.phantoms import heart_cohort, thorax_cohort
from audit.preprocessing import fit_preprocessing
from audit.volume import Volume

EACH = 10  # copies a rung
SHARES = (0.05, 0.2, 0.5)
COHORTS = {"thorax": thorax_cohort, "heart": lambda n, **more: heart_cohort(n, frames=8, **more)}


def autoencode(batch):
    """Half the resolution and back, as a decoder blurs."""
    b, c, t, *grid = batch.shape
    flat = torch.from_numpy(batch).reshape(b, c * t, *grid)
    return blur(flat).reshape(batch.shape).numpy()


def case_of(copy, name, grid):
    low, high = grid.window
    image = Volume(array=(copy + 1) / 2 * (high - low) + low, spacing_mm=grid.spacing_mm)
    return Case(id=name, subject=name, image=image)


def planted(comparison, rungs, seed):
    """Copies of the first training patients, one case a rung and patient."""
    grid = comparison.preprocessing
    workshop = replace(comparison.workshop, autoencode=autoencode)
    volumes = np.stack([grid(comparison.train[i].image) for i in range(EACH)])
    return [
        case_of(copy, f"{rung}-{i}", grid)
        for rung in rungs
        for i, copy in enumerate(plant(volumes, rung, grid, workshop, seed=seed))
    ]


def search(population, n, seed, folder):
    """Confirmed flags of n fresh patients and of EACH copies a rung."""
    make = COHORTS[population]
    train, holdout, fresh = (
        make(n, role=role, seed=seed + i)
        for i, role in enumerate(("train", "holdout", "synthetic"))
    )
    grid = fit_preprocessing(train)
    workshop = Workshop(cache=Cache(folder), seed=0, device="cpu", ledger=Ledger())
    comparison = Comparison(
        train=train, holdout=holdout, synthetic=fresh, conditions=None, preprocessing=grid,
        workshop=workshop,
    )  # fmt: skip
    cases = [*fresh, *planted(comparison, LADDER, seed)]
    found = confirm(replace(comparison, synthetic=cohort_of("synthetic", cases), _made={}))
    right = np.zeros(len(cases), bool)
    right[found.rows] = found.confirmed[found.rows]
    recall = {}
    for k, rung in enumerate(LADDER):
        at = n + k * EACH
        hits = right[at : at + EACH] & (found.fit.source[at : at + EACH] == np.arange(EACH))
        recall[rung] = hits.mean()
    return right[:n], recall


def through_known(population, n, seed, folder):
    """Confirmed flags of fresh patients and found copies, EACH, all through a known autoencoder.

    And found copies, EACH, that did not pass it: whoever made the volumes, an exact copy is one.
    """
    make = COHORTS[population]
    train, holdout = make(n, seed=seed), make(n, role="holdout", seed=seed + 1)
    grid = fit_preprocessing(train)
    workshop = Workshop(
        cache=Cache(folder), seed=0, device="cpu", ledger=Ledger(),
        autoencode=autoencode, autoencoder_key="half the resolution",
    )  # fmt: skip
    sources = [*(train[i] for i in range(EACH)), *make(EACH, role="synthetic", seed=seed + 2)]
    whole = np.stack([grid(case.image) for case in sources])
    made = np.concatenate([autoencode(whole), whole[:EACH]])
    comparison = Comparison(
        train=train, holdout=holdout, conditions=None, preprocessing=grid, workshop=workshop,
        synthetic=cohort_of("synthetic", [case_of(v, f"s{i}", grid) for i, v in enumerate(made)]),
    )  # fmt: skip
    found = confirm(comparison)
    right = [
        found.confirmed[k : k + EACH] & (found.fit.source[k : k + EACH] == np.arange(EACH))
        for k in (0, 2 * EACH)
    ]
    return found.confirmed[EACH : 2 * EACH], *right


@pytest.mark.benchmark
@pytest.mark.parametrize("population", ["thorax", "heart"])
@pytest.mark.parametrize("n", [24, 60])
def test_copies_through_the_generators_own_autoencoder_are_found(population, n, tmp_path):
    false, right, sharp = through_known(population, n, 3000 + n, tmp_path)
    print(f"\n{population} n={n}: false {false.sum()}, recall {right.mean()}, sharp {sharp.mean()}")
    assert right.mean() >= 0.9
    assert sharp.mean() >= 0.9
    assert false.sum() == 0


@pytest.mark.benchmark
@pytest.mark.parametrize("population", ["thorax", "heart"])
@pytest.mark.parametrize("n", [24, 60])
def test_confirmed_copies_have_recall_and_precision(population, n, tmp_path):
    false, recall = search(population, n, 700 + n, tmp_path)
    print(f"\n{population} n={n}: false {false.sum()} of {n}, recall {recall}")
    blurred = recall.pop("autoencoded")
    for rung, share in recall.items():
        assert share >= 0.9, rung
    mean = np.mean(list(recall.values()))
    for share in SHARES:
        right = share * mean
        assert right / (right + (1 - share) * false.mean()) >= 0.95, share
    if blurred < 0.9:
        pytest.xfail(f"of copies at half the resolution {blurred:.2f} are found")
