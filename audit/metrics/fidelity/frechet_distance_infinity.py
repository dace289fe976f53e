"""Fréchet distance extrapolated to infinitely many volumes on both sides.

The distance falls linearly in 1/n once n is well above the dimension; the intercept has no n. Both
sides are subsampled (with one side fixed, its bias would stay), never below 1.5 n per dimension.
Where n is too small for the features, they are first projected onto the leading axes of *train*
(a fold apart from both sides), and ``params`` says onto how many: such values compare only at equal
projection. The interval joins the scatter over halves of the subjects and that of the fit. Unlike
the Fréchet distance itself it may come out slightly negative where nothing differs.
"""

from dataclasses import replace

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.extrapolation import Line, extrapolate_frechet, projected
from audit.statistics.frechet import frechet_in_pool
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import (
    StandardError,
    permuted_of_squared,
    students_of_extrapolated,
)
from audit.statistics.pool import IntArray, Pool
from audit.statistics.resampling import halved, permuted

PERMUTATIONS_AT_N = 60
FRECHET = one_by_one(lambda pool, a, b: frechet_in_pool(pool, a, b).value)


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        pool = projected(pool_for(comparison, extractor))
        seed = int(own.integers(2**32))
        line = extrapolate_frechet(pool, pool.holdout, pool.synthetic, seed=seed)
        found = infer(
            one_by_one(lambda p, a, b: extrapolate_frechet(p, a, b, seed=seed).intercept),
            pool,
            rng=own,
            permutations=199,
            splits=40,
            interval=students_of_extrapolated,
            standard_error=lambda p, a, b: standard_error(p, a, b, line, own),
        )
        base = measured(
            comparison,
            found,
            **comparison.features(extractor).params,
            projected_dim=pool.dim,
            sizes=list(line.sizes),
            fit_standard_error=line.error,
            slope=line.slope,
        )
        figure = {
            "one_over_n": [1 / n for n in line.sizes],
            "mean_distance": list(line.values),
        }
        return replace(base, series={**base.series, **figure})

    return by_extractor(comparison, rng, one)


def standard_error(
    pool: Pool, a: IntArray, b: IntArray, line: Line, rng: np.random.Generator
) -> StandardError:
    """Scatter of the distance at full n, which extrapolation keeps, and of the fit.

    The scatter about the line is of the same subjects: half of its variance covers what both leave
    (simulated). Subsamples of the intercept itself would add the noise of its own, times n.

    Args:
        pool: Features.
        a: Real rows.
        b: Synthetic rows.
        line: The fit whose intercept is the value.
        rng: Source of randomness; forked, not advanced.
    """
    at_n = float(FRECHET(pool, [a], [b])[0])
    halves = halved(FRECHET, pool, a, b, rng, of_log=True)
    null = permuted(FRECHET, pool, PERMUTATIONS_AT_N, rng.spawn(1)[0])
    return replace(
        halves,
        method=f"{halves.method}, and half the variance of the fit",
        null_error=permuted_of_squared(at_n, null) if at_n > 0 else 0.0,
        at_n=at_n,
        fit_error=line.error / float(np.sqrt(2)),
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "intensity_shift"),
    needs=("holdout",),
    source="Chong and Forsyth 2020, arXiv:1911.07023, section 4, with both sides subsampled",
)
