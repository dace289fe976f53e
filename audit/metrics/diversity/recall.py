"""Share of held-out real volumes inside the manifold of the synthetic ones (recall).

1 where every real volume has a synthetic one near it; falls where modes are missing. Spread-out
synthetic outliers make large balls and raise it: read it with ``fidelity.precision``.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import mid_p_of_members
from audit.statistics.manifold import NEIGHBORS, manifold_in_pool


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        found = infer(
            one_by_one(lambda p, a, b: manifold_in_pool(p, a, b).recall),
            pool_for(comparison, extractor),
            rng=own,
            worse="lower",
            permutations=199,
            interval=mid_p_of_members,
        )
        return measured(
            comparison, found, **comparison.features(extractor).params, neighbors=NEIGHBORS
        )

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("collapse",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 3 (k = 5)",
)
