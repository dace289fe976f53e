"""How often fresh patients are confirmed: both limits together, on patients nothing was tuned on.

Given train, held-out and fresh patients are alike. So one pool is aligned, and cut many times into
24 held-out patients, who set the limits, and fresh ones, who are judged by them.
"""

import numpy as np
import pytest

from audit.cache import Cache
from audit.cohort import Case, cohort_of
from audit.comparison import Comparison
from audit.copies.candidates import candidates
from audit.copies.confirmation import Fit, confirmed_by, fit_candidates
from audit.extractor import Workshop
from audit.ledger import Ledger
from audit.phantoms import heart_cohort, thorax_cohort
from audit.preprocessing import fit_preprocessing
from audit.volume import Volume


def slices(cohort, axis):
    """The middle slice of each volume's first frame, across array axis z (2) or y (3)."""

    def case(whole):
        array, spacing = whole.image.array[:, :1], list(whole.image.spacing_mm)
        middle = np.moveaxis(np.take(array, [array.shape[axis] // 2], axis=axis), axis, 2)
        spacing.insert(0, spacing.pop(axis - 2))
        image = Volume(array=np.ascontiguousarray(middle), spacing_mm=tuple(spacing))
        return Case(id=whole.id, subject=whole.subject, image=image)

    return cohort_of(cohort.role, [case(whole) for whole in cohort])


COHORTS = {
    "thorax": thorax_cohort,
    "heart": lambda n, **more: heart_cohort(n, frames=8, **more),
    "axial slices of the thorax": lambda n, **more: slices(thorax_cohort(n, **more), 2),
    "coronal slices of the thorax": lambda n, **more: slices(thorax_cohort(n, **more), 3),
    "slices of the heart": lambda n, **more: slices(heart_cohort(n, frames=2, **more), 2),
}
TRAINS, PATIENTS, POOL, SPLITS = 5, 24, 120, 40
HIGHEST = 0.005


def pool_fit(make, seed, folder):
    """Fits of a pool of fresh patients to one train cohort, with an encoder of its own."""
    train = make(PATIENTS, seed=seed)
    pool = make(POOL, role="holdout", seed=seed + 1)
    workshop = Workshop(cache=Cache(folder), seed=0, device="cpu", ledger=Ledger())
    comparison = Comparison(
        train=train, holdout=pool, synthetic=cohort_of("synthetic", list(pool)), conditions=None,
        preprocessing=fit_preprocessing(train), workshop=workshop,
    )  # fmt: skip
    near = candidates(comparison, comparison.features("ssl3d").holdout)
    volumes = [comparison.preprocessing(case.image) for case in pool]
    return fit_candidates(volumes, near, comparison)


def rates(fit, rng):
    """Share of fresh patients (splits,) that are confirmed, each split judged by its own null."""
    found = []
    for _ in range(SPLITS):
        order = rng.permutation(POOL)
        null, fresh = (
            Fit(**{name: values[rows] for name, values in vars(fit).items()})
            for rows in (order[:PATIENTS], order[PATIENTS:])
        )
        found.append(confirmed_by(fresh, null).mean())
    return np.array(found)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("population", list(COHORTS))
def test_fresh_patients_are_confirmed_as_rarely_as_stated(population, tmp_path):
    rng = np.random.default_rng(0)
    by_train = []
    for k in range(TRAINS):
        fit = pool_fit(COHORTS[population], 5100 + 10 * k, tmp_path)
        by_train.append(rates(fit, rng).mean())
        print(f"{population} train {k}: {by_train[-1]:.4f} of {POOL} fresh patients", flush=True)
    assert np.mean(by_train) <= HIGHEST
