"""Share of synthetic volumes inside the manifold of held-out real volumes (precision).

1 where every synthetic volume has a real one near it. Says nothing of variety: a collapsed
generator has high precision (see ``diversity.recall``). One real outlier makes a large ball, which
``fidelity.density`` does not forgive. Radii reach to the 5th neighbor; equal n on both sides.
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
            one_by_one(lambda p, a, b: manifold_in_pool(p, a, b).precision),
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
    detects=("noise", "intensity_shift"),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 2 (k = 5)",
)
