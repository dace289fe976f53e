"""Mean number of real neighborhoods that hold a synthetic volume, over k (density).

About 1 where the distributions agree; above 1 where synthetic volumes crowd the densest real
region, so it has no upper bound and more than ``real_vs_real`` is no merit. Robust to real
outliers, unlike precision.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import effective_garwood
from audit.statistics.manifold import NEIGHBORS, manifold_in_pool


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        found = infer(
            one_by_one(lambda p, a, b: manifold_in_pool(p, a, b).density),
            pool_for(comparison, extractor),
            rng=own,
            worse="lower",
            permutations=199,
            interval=effective_garwood,
        )
        return measured(
            comparison, found, **comparison.features(extractor).params, neighbors=NEIGHBORS
        )

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("noise", "intensity_shift"),
    bounds=(0.0, np.inf),
    needs=("holdout",),
    source="Naeem et al. 2020, arXiv:2002.09797, eq. 5 (k = 5)",
)
