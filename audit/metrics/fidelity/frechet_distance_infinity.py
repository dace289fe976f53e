"""Fréchet distance extrapolated to infinitely many volumes on both sides.

The distance falls linearly in 1/n once n is well above the dimension; the intercept has no n. Both
sides are subsampled (with one side fixed, its bias would stay), never below 1.5 n per dimension.
Where n is too small for the features, they are first projected onto the leading axes of *train*
(a fold apart from both sides), and ``params`` says onto how many: such values compare only at equal
projection. The interval joins the jackknife over subjects and the scatter of the fit. Unlike the
Fréchet distance itself it may come out slightly negative where nothing differs.
"""

from dataclasses import replace

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.extrapolation import Line, extrapolate_frechet, projected
from audit.statistics.frechet import frechet_in_pool
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import StandardError
from audit.statistics.pool import IntArray, Pool
from audit.statistics.resampling import jackknife


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
            standard_error=lambda p, a, b: fit_error(p, a, b, line),
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


def fit_error(pool: Pool, a: IntArray, b: IntArray, line: Line) -> StandardError:
    """Subjects and fit: extrapolation keeps the first-order scatter of the distance at full n.

    The jackknife counts twice what is of second order there, and the scatter about the line is of
    the same subjects: half of the line's variance covers what both leave (simulated on normal and
    gamma features, confirmed on others). A jackknife of the intercept itself would add the noise
    of its subsamples, times n.

    Args:
        pool: Features.
        a: Real rows.
        b: Synthetic rows.
        line: The fit whose intercept is the value.
    """
    whole = jackknife(one_by_one(lambda p, x, y: frechet_in_pool(p, x, y).value), pool, a, b)
    return StandardError(
        error=float(np.sqrt(whole.error**2 + line.error**2 / 2)),
        freedom=whole.freedom,
        method=f"{whole.method}, and half the variance of the fit",
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "intensity_shift"),
    needs=("holdout",),
    source="Chong and Forsyth 2020, arXiv:1911.07023, section 4, with both sides subsampled",
)
