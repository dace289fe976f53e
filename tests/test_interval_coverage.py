"""Every interval of fidelity and diversity by simulation; what was tuned on which: fidelity.md.

Nominal 95 % must hold the expectation at this n (a kernel distance: the truth at infinite n) in 92
to 98 % of cohorts; ``BEYOND`` names what cannot be brought there. The default run asks for one law,
the nightly one for six, three generators and three n.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from audit.metrics.diversity.vendi_score import ratio
from audit.metrics.fidelity.frechet_distance_infinity import fit_error
from audit.metrics.fidelity.frechet_radiomics_distance import frechet_radiomics_distance
from audit.statistics.extrapolation import extrapolate_frechet
from audit.statistics.frechet import frechet_in_pool
from audit.statistics.inference import Statistic, estimated, one_by_one, permuted
from audit.statistics.intervals import (
    Interval,
    StandardError,
    clopper_pearson_jackknifed,
    clopper_pearson_of_members,
    effective_garwood,
    score_interval,
    students,
    students_of_log,
    students_on_log,
)
from audit.statistics.manifold import manifold_in_pool
from audit.statistics.mmd import cubic_kernel, gaussian_kernel, mmd2_of_sets, mmd2_se_in_pool
from audit.statistics.pool import FloatArray, IntArray, Pool, pool_of
from audit.statistics.scalar import area_between_means, rms_between_means, transport
from audit.statistics.sliced import sliced_in_pool
from audit.statistics.support import alpha_precision_in_pool, beta_recall_in_pool
from audit.statistics.two_sample import one_per_subject

Law = Callable[[np.random.Generator, int, int], FloatArray]
PERMUTATIONS = 60


def laplace(rng: np.random.Generator, n: int, d: int) -> FloatArray:
    """Heavy tails."""
    return rng.laplace(size=(n, d))


def exponential(rng: np.random.Generator, n: int, d: int) -> FloatArray:
    """Skewed with an edge, as activations are."""
    return rng.exponential(size=(n, d))


def log_normal(rng: np.random.Generator, n: int, d: int) -> FloatArray:
    """Skewed and correlated."""
    common = rng.normal(size=(n, 1)) * 0.7
    return np.exp(0.5 * (common + 0.7 * rng.normal(size=(n, d))))


def clusters(rng: np.random.Generator, n: int, d: int) -> FloatArray:
    """One to four alike volumes a subject, of which one is drawn."""
    count = rng.integers(1, 5, size=n)
    of = np.repeat(np.arange(n), count)
    rows = rng.normal(size=(n, d))[of] + 0.3 * rng.normal(size=(len(of), d))
    return rows[one_per_subject([str(i) for i in of], rng)]


def mixture(rng: np.random.Generator, n: int, d: int) -> FloatArray:
    """Two modes, one of a quarter of the subjects."""
    return rng.normal(size=(n, d)) + np.where(rng.random((n, 1)) < 0.25, 2.5, 0.0)


def ties(rng: np.random.Generator, n: int, d: int) -> FloatArray:
    """Counts: many values are equal."""
    return 1.0 + rng.poisson(2.0, size=(n, d))


LAWS = (laplace, exponential, log_normal, clusters, mixture, ties)
GENERATORS = ("equal", "shift", "collapse")


@cache
def center_and_sd(law: Law) -> tuple[float, float]:
    rows = law(np.random.default_rng(1), 20_000, 2)
    return float(rows.mean()), float(rows.std())


def generated(law: Law, generator: str, rows: FloatArray) -> FloatArray:
    """The law itself, moved by half a standard deviation, or drawn in to half its spread."""
    center, sd = center_and_sd(law)
    if generator == "shift":
        return rows + 0.5 * sd
    return center + 0.5 * (rows - center) if generator == "collapse" else rows


@dataclass(frozen=True, kw_only=True)
class Case:
    """One metric's statistic with the interval that its file gives it."""

    statistic: Statistic
    interval: Interval
    error: Callable[[Pool, IntArray, IntArray], StandardError] | None = None
    at_infinity: bool = False
    d: int = 6


def rate(name: str, interval: Interval) -> Case:
    return Case(
        statistic=one_by_one(lambda p, a, b: getattr(manifold_in_pool(p, a, b), name)),
        interval=interval,
    )


def kernel(function: Callable) -> Case:
    return Case(
        statistic=lambda p, a, b: mmd2_of_sets(p, function, a, b),
        interval=score_interval,
        error=lambda p, a, b: mmd2_se_in_pool(p, function, a, b),
        at_infinity=True,
    )


def distance(function: Callable[[Pool, IntArray, IntArray], float], *, d: int = 6) -> Case:
    return Case(statistic=one_by_one(function), interval=students_on_log, d=d)


CASES = {
    "frechet": distance(lambda p, a, b: frechet_in_pool(p, a, b).value),
    "frechet_of_few": distance(lambda p, a, b: frechet_in_pool(p, a, b).value, d=40),
    "sliced_wasserstein": distance(sliced_in_pool),
    "transport": distance(transport),
    "intensity_wasserstein": distance(area_between_means),
    "power_spectrum": distance(rms_between_means),
    "vendi": distance(ratio),
    "radiomics": Case(
        statistic=one_by_one(
            lambda p, a, b: frechet_radiomics_distance(real=p.rows[a], synthetic=p.rows[b])
        ),
        interval=students_of_log,
        d=40,
    ),
    "kernel": kernel(cubic_kernel),
    "gaussian_kernel": kernel(gaussian_kernel),
    "precision": rate("precision", clopper_pearson_of_members),
    "recall": rate("recall", clopper_pearson_of_members),
    "coverage": rate("coverage", clopper_pearson_jackknifed),
    "density": rate("density", effective_garwood),
    "alpha_precision": Case(
        statistic=one_by_one(alpha_precision_in_pool), interval=clopper_pearson_jackknifed
    ),
    "beta_recall": Case(
        statistic=one_by_one(beta_recall_in_pool), interval=clopper_pearson_of_members
    ),
    "frechet_infinity": Case(
        statistic=one_by_one(lambda p, a, b: extrapolate_frechet(p, a, b, seed=0).intercept),
        interval=students,
        error=lambda p, a, b: fit_error(p, a, b, extrapolate_frechet(p, a, b, seed=0)),
        d=2,
    ),
}


def cohorts(law: Law, seed: int, n: int, d: int, generator: str) -> Pool:
    rng = np.random.default_rng([seed, 2026])
    return pool_of(
        train=law(rng, 2 * n, d),
        holdout=law(rng, n, d),
        synthetic=generated(law, generator, law(rng, n, d)),
    )


def truth(case: Case, law: Law, generator: str) -> float:
    """Expectation of an unbiased estimate, from larger cohorts than the ones under test."""
    if generator == "equal":
        return 0.0
    pools = [cohorts(law, 10_000 + k, 200, case.d, generator) for k in range(20)]
    return float(np.mean([case.statistic(p, [p.holdout], [p.synthetic])[0] for p in pools]))


def covered(name: str, law: Law, generator: str, *, n: int = 30, repeats: int) -> float:
    """Share of cohorts whose interval holds the expectation."""
    case, found = CASES[name], []
    for seed in range(repeats):
        pool = cohorts(law, seed, n, case.d, generator)
        null = permuted(case.statistic, pool, PERMUTATIONS, np.random.default_rng([seed, 3]))
        found.append(
            estimated(
                case.statistic,
                pool,
                interval=case.interval,
                null=null,
                standard_error=case.error,
            )
        )
    mean = float(np.mean([f.value for f in found]))
    expected = truth(case, law, generator) if case.at_infinity else mean
    return float(np.mean([f.low <= expected <= f.high for f in found]))


# What 400 cohorts leave open about 92 and 98 %: two standard errors.
LEAST, MOST = 0.92 - 0.027, 0.98 + 0.014
# Below: the generator lacks a tail, or moves one mode onto another, and in the cohorts that miss
# the tail or the smaller mode nothing shows what they miss (see docs/fidelity.md).
BELOW = {
    ("frechet", "log_normal", "collapse"): 0.86,
    ("frechet_of_few", "log_normal", "collapse"): 0.82,
    ("frechet_of_few", "mixture", "shift"): 0.84,
    ("radiomics", "mixture", "shift"): 0.86,
    ("sliced_wasserstein", "mixture", "shift"): 0.83,
    ("frechet_infinity", "mixture", "shift"): 0.88,
}
# Above: most cohorts have the value 1, where an interval has to stay open; statistics of third
# and higher order, which a jackknife counts more often than the half allows for; a polynomial
# whose variance is that of a typical difference and not of this one.
ABOVE = (
    *("frechet", "frechet_of_few", "frechet_infinity", "radiomics", "transport", "kernel"),
    *("precision", "coverage", "alpha_precision", "beta_recall"),
)


@pytest.mark.parametrize("name", [n for n in CASES if n != "frechet_infinity"])
def test_interval_covers_where_the_generator_differs(name: str) -> None:
    assert covered(name, clusters, "shift", n=20, repeats=80) >= 0.92


@pytest.mark.parametrize("name", ["sliced_wasserstein", "power_spectrum", "density", "vendi"])
def test_interval_is_not_too_wide_where_nothing_differs(name: str) -> None:
    assert 0.92 <= covered(name, laplace, "equal", n=20, repeats=80) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", CASES)
def test_interval_covers_on_every_law(name: str, law: Law) -> None:
    for generator in GENERATORS:
        share = covered(name, law, generator, repeats=400)
        assert share >= BELOW.get((name, law.__name__, generator), LEAST), generator
        assert share <= MOST or name in ABOVE, generator
