"""Every interval of fidelity and diversity by simulation, on distributions nothing was tuned on.

Nominal 95 % must hold the expectation at this n (a kernel distance: the truth at infinite n) in 92
to 98 % of cohorts. The default run asks for the lower end on one law; the nightly one for both
ends on four laws, equal and different.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from audit.metrics.diversity.vendi_score import ratio
from audit.metrics.fidelity.frechet_distance_infinity import fit_error
from audit.statistics.extrapolation import extrapolate_frechet
from audit.statistics.frechet import frechet_in_pool
from audit.statistics.inference import Statistic, estimated, one_by_one
from audit.statistics.intervals import (
    Interval,
    StandardError,
    effective_clopper_pearson,
    effective_garwood,
    score_interval,
    students,
    students_on_log,
)
from audit.statistics.manifold import manifold_in_pool
from audit.statistics.mmd import cubic_kernel, gaussian_kernel, mmd2_of_sets, mmd2_se_in_pool
from audit.statistics.pool import IntArray, Pool, pool_of
from audit.statistics.scalar import area_between_means, rms_between_means, transport
from audit.statistics.sliced import sliced_in_pool
from audit.statistics.support import alpha_precision_in_pool, beta_recall_in_pool
from audit.statistics.two_sample import one_per_subject

Law = Callable[[np.random.Generator, int, int, bool], np.ndarray]
SUBJECTS = 30


def laplace(rng: np.random.Generator, n: int, d: int, different: bool) -> np.ndarray:
    """Heavy tails; a generator with more spread and a shift."""
    rows = rng.laplace(size=(n, d))
    return 1.3 * rows + 0.4 if different else rows


def exponential(rng: np.random.Generator, n: int, d: int, different: bool) -> np.ndarray:
    """Skewed, as activations are; a generator that exaggerates."""
    return rng.exponential(1.3 if different else 1.0, size=(n, d))


def log_normal(rng: np.random.Generator, n: int, d: int, different: bool) -> np.ndarray:
    """Skewed and correlated."""
    common = rng.normal(size=(n, 1)) * 0.7
    rows = np.exp(0.5 * (common + 0.7 * rng.normal(size=(n, d))))
    return rows + 0.5 if different else rows


def clusters(rng: np.random.Generator, n: int, d: int, different: bool) -> np.ndarray:
    """One to four alike volumes a subject, of which one is drawn; a generator with less variety."""
    count = rng.integers(1, 5, size=n)
    of = np.repeat(np.arange(n), count)
    rows = rng.normal(size=(n, d))[of] + 0.3 * rng.normal(size=(len(of), d))
    rows = rows[one_per_subject([str(i) for i in of], rng)]
    return 0.7 * rows + 0.3 if different else rows


@dataclass(frozen=True, kw_only=True)
class Case:
    """One metric's statistic with the interval that its file gives it."""

    statistic: Statistic
    interval: Interval
    error: Callable[[Pool, IntArray, IntArray], StandardError] | None = None
    at_infinity: bool = False
    d: int = 6


def rate(name: str) -> Case:
    return Case(
        statistic=one_by_one(lambda p, a, b: getattr(manifold_in_pool(p, a, b), name)),
        interval=effective_clopper_pearson,
    )


def kernel(function: Callable) -> Case:
    return Case(
        statistic=lambda p, a, b: mmd2_of_sets(p, function, a, b),
        interval=score_interval,
        error=lambda p, a, b: mmd2_se_in_pool(p, function, a, b),
        at_infinity=True,
    )


def distance(function: Callable[[Pool, IntArray, IntArray], float]) -> Case:
    return Case(statistic=one_by_one(function), interval=students_on_log)


CASES = {
    "frechet": distance(lambda p, a, b: frechet_in_pool(p, a, b).value),
    "sliced_wasserstein": distance(sliced_in_pool),
    "transport": distance(transport),
    "intensity_wasserstein": distance(area_between_means),
    "power_spectrum": distance(rms_between_means),
    "vendi": distance(ratio),
    "kernel": kernel(cubic_kernel),
    "gaussian_kernel": kernel(gaussian_kernel),
    "precision": rate("precision"),
    "recall": rate("recall"),
    "coverage": rate("coverage"),
    "density": Case(
        statistic=one_by_one(lambda p, a, b: manifold_in_pool(p, a, b).density),
        interval=effective_garwood,
    ),
    "alpha_precision": Case(
        statistic=one_by_one(alpha_precision_in_pool), interval=effective_clopper_pearson
    ),
    "beta_recall": Case(
        statistic=one_by_one(beta_recall_in_pool), interval=effective_clopper_pearson
    ),
    "frechet_infinity": Case(
        statistic=one_by_one(lambda p, a, b: extrapolate_frechet(p, a, b, seed=0).intercept),
        interval=students,
        error=lambda p, a, b: fit_error(p, a, b, extrapolate_frechet(p, a, b, seed=0)),
        d=2,
    ),
}


def cohorts(law: Law, seed: int, n: int, d: int, different: bool) -> Pool:
    rng = np.random.default_rng([seed, 2026])
    return pool_of(
        train=law(rng, 2 * n, d, False),
        holdout=law(rng, n, d, False),
        synthetic=law(rng, n, d, different),
    )


def truth(case: Case, law: Law, different: bool) -> float:
    """Expectation of an unbiased estimate, from larger cohorts than the ones under test."""
    if not different:
        return 0.0
    pools = [cohorts(law, 10_000 + k, 200, case.d, different) for k in range(20)]
    return float(np.mean([case.statistic(p, [p.holdout], [p.synthetic])[0] for p in pools]))


def covered(name: str, law: Law, different: bool, repeats: int) -> float:
    """Share of cohorts whose interval holds the expectation."""
    case = CASES[name]
    found = [
        estimated(
            case.statistic,
            cohorts(law, seed, SUBJECTS, case.d, different),
            interval=case.interval,
            standard_error=case.error,
        )
        for seed in range(repeats)
    ]
    mean = float(np.mean([f.value for f in found]))
    expected = truth(case, law, different) if case.at_infinity else mean
    return float(np.mean([f.low <= expected <= f.high for f in found]))


# A jackknife over pairs counts what both sides share twice (Efron and Stein: conservative), most
# where nothing differs and in rates of nearest neighbors: those may cover more than 98 %.
SHARP = (
    "frechet",
    "sliced_wasserstein",
    "transport",
    "intensity_wasserstein",
    "power_spectrum",
    "gaussian_kernel",
)
MONTE_CARLO = 0.01  # of 400 cohorts, where 98 % are expected


@pytest.mark.parametrize("name", [n for n in CASES if n not in {"vendi", "recall"}])
def test_interval_covers_where_the_generator_differs(name: str) -> None:
    assert covered(name, exponential, different=True, repeats=120) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("law", [laplace, exponential, log_normal, clusters])
@pytest.mark.parametrize("name", CASES)
def test_interval_covers_on_every_law(name: str, law: Law) -> None:
    different = covered(name, law, different=True, repeats=400)
    equal = covered(name, law, different=False, repeats=400)
    assert min(different, equal) >= 0.92
    if name in SHARP:
        assert different <= 0.98 + MONTE_CARLO
