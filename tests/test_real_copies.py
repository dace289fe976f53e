"""Planted copies among cubes of a real chest CT.

Cubes that do not overlap stand for patients; they come from one scan, so that nothing is claimed
about a population: only that the search works on real texture, noise and edges.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.cache import Cache
from audit.cohort import Case, cohort_of
from audit.comparison import Comparison
from audit.copies.confirmation import confirm
from audit.copies.planted import plant
from audit.extractor import Workshop
from audit.ledger import Ledger
from audit.preprocessing import fit_preprocessing
from audit.volume import Volume, read_volume

REAL = Path(os.environ.get("VOXAUDIT_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
SCAN = REAL / "ct" / "lidc_0314_2mm.nii.gz"
SIDE, EACH = 32, 23
RUNGS = ("exact", "shifted", "rotated", "noised")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SCAN.is_file(), reason=f"no real CT at {SCAN.name} (see CONTRIBUTING)"),
]


def cubes(array):
    """Disjoint cubes with lung in them and little air around the body.

    A cube of a flat chest wall has nothing of its own, and matches every other such cube.
    """
    starts = [range(0, n - SIDE + 1, SIDE) for n in array.shape]
    found = []
    for z in starts[0]:
        for y in starts[1]:
            for x in starts[2]:
                cube = array[z : z + SIDE, y : y + SIDE, x : x + SIDE]
                if np.mean(cube < -500) > 0.1 and np.mean(cube < -990) < 0.2:
                    found.append(cube)
    return found


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    scan = read_volume(SCAN)
    found = cubes(scan.array[0, 0])
    order = np.random.default_rng(0).permutation(len(found))

    def case(name, array):
        image = Volume(array=array, spacing_mm=scan.spacing_mm)
        return Case(id=name, subject=name, image=image)

    def cohort(role, k):
        picks = order[k * EACH : (k + 1) * EACH]
        return cohort_of(role, [case(f"{role}-{i}", found[i][None, None].copy()) for i in picks])

    train, holdout, fresh = (cohort(r, k) for k, r in enumerate(("train", "holdout", "synthetic")))
    grid = fit_preprocessing(train)
    cache = Cache(tmp_path_factory.mktemp("cache"))
    comparison = Comparison(
        train=train, holdout=holdout, synthetic=fresh, conditions=None, preprocessing=grid,
        workshop=Workshop(cache=cache, seed=0, device="cpu", ledger=Ledger()),
    )  # fmt: skip
    sources = np.stack([grid(train[i].image) for i in range(10)])
    low, high = grid.window
    planted = [
        case(f"{rung}-{i}", (copy + 1) / 2 * (high - low) + low)
        for rung in RUNGS
        for i, copy in enumerate(plant(sources, rung, grid, comparison.workshop, seed=1))
    ]
    mixed = cohort_of("synthetic", [*fresh, *planted])
    return confirm(replace(comparison, synthetic=mixed, _made={}))


def test_fresh_patches_of_a_real_scan_are_no_copies(searched):
    assert not searched.confirmed[:EACH].any()
    assert searched.false_rate <= 1 / EACH


@pytest.mark.parametrize("rung", RUNGS)
def test_planted_copies_of_real_patches_are_found(searched, rung):
    at = EACH + 10 * RUNGS.index(rung)
    hits = searched.confirmed[at : at + 10] & (searched.fit.source[at : at + 10] == np.arange(10))
    assert hits.mean() >= 0.9
