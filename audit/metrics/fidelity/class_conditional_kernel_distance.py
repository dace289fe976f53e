"""Kernel distance (KID) within each class: held-out real against synthetic volumes of that class.

Sees a generator that draws the right mixture but puts it under the wrong labels, which no
unconditional distance can. Unbiased at the few volumes that a class has; read several classes
with a multiplicity correction in mind.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_class, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer
from audit.statistics.intervals import score_interval
from audit.statistics.mmd import cubic_kernel, mmd2_of_sets, mmd2_se_in_pool


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor and class."""

    def one(extractor: str, group: str, own: np.random.Generator) -> Measurement:
        found = infer(
            lambda pool, a, b: mmd2_of_sets(pool, cubic_kernel, a, b),
            pool_for(comparison, extractor, group=group),
            rng=own,
            standard_error=lambda pool, a, b: mmd2_se_in_pool(pool, cubic_kernel, a, b),
            interval=score_interval,
        )
        params = comparison.features(extractor).params
        return measured(comparison, found, **params, kernel="(xᵀy/d + 1)³", group=group)

    return by_class(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "intensity_shift"),
    needs=("holdout", "groups"),
    source="Bińkowski et al. 2018, arXiv:1801.01401, within classes (Benny et al. 2020, "
    "arXiv:2004.12361)",
)
