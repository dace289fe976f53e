"""Cohorts that many tests share: three disjoint draws of each phantom population."""

from pathlib import Path

import pytest

from audit.cache import Cache
from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.extractor import Workshop
from audit.ledger import Ledger
from audit.phantoms import heart_cohort, thorax_cohort, with_conditions
from audit.preprocessing import fit_preprocessing

COUNT = 24


@pytest.fixture(scope="session")
def thorax_train() -> Cohort:
    return thorax_cohort(COUNT, role="train", seed=0)


@pytest.fixture(scope="session")
def thorax_holdout() -> Cohort:
    return thorax_cohort(COUNT, role="holdout", seed=1)


@pytest.fixture(scope="session")
def thorax_honest() -> Cohort:
    """As a perfect generator would make it: other patients of the same population."""
    return thorax_cohort(COUNT, role="synthetic", seed=2)


@pytest.fixture(scope="session")
def heart_train() -> Cohort:
    return heart_cohort(COUNT, role="train", seed=0, frames=8)


@pytest.fixture(scope="session")
def heart_holdout() -> Cohort:
    return heart_cohort(COUNT, role="holdout", seed=1, frames=8)


@pytest.fixture(scope="session")
def heart_honest() -> Cohort:
    """As a perfect generator would make it: other patients of the same population."""
    return heart_cohort(COUNT, role="synthetic", seed=2, frames=8)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A cache of its own, the CPU, seed 0."""
    cache = Cache(Path(tmp_path_factory.mktemp("cache")))
    return Workshop(cache=cache, seed=0, device="cpu", ledger=Ledger())


def compare(train: Cohort, holdout: Cohort, honest: Cohort, workshop: Workshop) -> Comparison:
    conditions, synthetic = with_conditions(honest)
    return Comparison(
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        conditions=conditions,
        preprocessing=fit_preprocessing(train),
        workshop=workshop,
        extractor_names=("intensity",),
    )


@pytest.fixture(scope="session")
def thorax_comparison(
    thorax_train: Cohort, thorax_holdout: Cohort, thorax_honest: Cohort, workshop: Workshop
) -> Comparison:
    """An honest, mask-conditional generator of chest CTs with given labels."""
    return compare(thorax_train, thorax_holdout, thorax_honest, workshop)


@pytest.fixture(scope="session")
def heart_comparison(
    heart_train: Cohort, heart_holdout: Cohort, heart_honest: Cohort, workshop: Workshop
) -> Comparison:
    """An honest, mask-conditional generator of cine hearts with given labels."""
    return compare(heart_train, heart_holdout, heart_honest, workshop)
