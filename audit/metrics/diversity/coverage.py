"""Share of held-out real volumes with a synthetic volume among their neighbors (coverage).

Balls are drawn about real volumes, so synthetic outliers cannot raise it. Equal distributions do
not give 1 but ``expected_of_equals`` (0.97 at k = 5).
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import mid_p_of_members
from audit.statistics.manifold import NEIGHBORS, coverage_of_equals, manifold_in_pool


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        found = infer(
            one_by_one(lambda p, a, b: manifold_in_pool(p, a, b).coverage),
            pool_for(comparison, extractor),
            rng=own,
            worse="lower",
            permutations=199,
            interval=mid_p_of_members,
        )
        return measured(
            comparison,
            found,
            **comparison.features(extractor).params,
            neighbors=NEIGHBORS,
            expected_of_equals=coverage_of_equals(found.estimate.n, found.estimate.n),
        )

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("collapse", "noise"),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Naeem et al. 2020, arXiv:2002.09797, eq. 6 (k = 5)",
)
