"""Whether nested real supports hold the share of synthetic volumes they should (alpha-precision).

For every a, the ball about the real mean that holds the share a of real volumes should hold the
share a of synthetic ones. The index is 1 where it does at all a; it falls where synthetic volumes
lie too far out, and, unlike precision, also where they crowd the center. It sees distances from
the mean only, so it does not see a shift along a shell. Read it against ``real_vs_real``.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_logit_of_levels
from audit.statistics.support import alpha_precision_in_pool


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        found = infer(
            one_by_one(alpha_precision_in_pool),
            pool_for(comparison, extractor),
            rng=own,
            worse="lower",
            permutations=199,
            interval=students_on_logit_of_levels,
        )
        return measured(
            comparison,
            found,
            **comparison.features(extractor).params,
            definition="1 - 2 ∫ |P_a - a| da, supports are balls about the mean of the features",
        )

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("noise", "intensity_shift"),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Alaa et al. 2022, arXiv:2102.08921, eqs. 3 and 5",
)
