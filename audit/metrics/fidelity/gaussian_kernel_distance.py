"""Unbiased squared MMD with Gaussian kernels between held-out real and synthetic features.

The mean of five bandwidths about the median distance of *real* volumes, so that no generator
stretches the ruler. Unlike the cubic kernel it sees every difference of distributions, and no
single wild feature dominates it. 0 in expectation where the distributions agree; slightly
negative values are right.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer
from audit.statistics.intervals import score_interval
from audit.statistics.mmd import (
    BANDWIDTH_FACTORS,
    gaussian_kernel,
    median_squared_distance,
    mmd2_of_sets,
    mmd2_se_in_pool,
)


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        pool = pool_for(comparison, extractor)
        median = median_squared_distance(pool)
        found = infer(
            lambda p, a, b: mmd2_of_sets(p, gaussian_kernel, a, b),
            pool,
            rng=own,
            standard_error=lambda p, a, b: mmd2_se_in_pool(p, gaussian_kernel, a, b),
            interval=score_interval,
        )
        return measured(
            comparison,
            found,
            **comparison.features(extractor).params,
            kernel="mean of exp(-|x - y|² / (2 s² f²)) over f",
            bandwidth=float(np.sqrt(median)),
            factors=list(BANDWIDTH_FACTORS),
        )

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "collapse", "intensity_shift"),
    bounds=(-2.0, 2.0),
    needs=("holdout",),
    source="Gretton et al. 2012, JMLR 13, 723-773, lemma 6 (U-statistic), median heuristic",
)
