"""Whether nested synthetic supports recall the share of real volumes they should (beta-recall).

For every b, the ball about the synthetic mean that holds the share b of synthetic volumes should
recall the share b of held-out real ones: a real volume is recalled where a synthetic one of that
ball is nearer than its 2nd real neighbor. The index falls where modes are missing; at b = 1 the
curve is coverage (at k = 2). Equal cohorts do not reach 1, for few synthetic volumes recall
several real ones: read it against ``real_vs_real``.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_logit
from audit.statistics.support import NEIGHBORS, beta_recall_in_pool


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        found = infer(
            one_by_one(beta_recall_in_pool),
            pool_for(comparison, extractor),
            rng=own,
            worse="lower",
            permutations=199,
            interval=students_on_logit,
        )
        return measured(
            comparison,
            found,
            **comparison.features(extractor).params,
            neighbors=NEIGHBORS,
            definition="1 - 2 ∫ |R_b - b| db, supports are balls about the mean of the features",
        )

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("collapse",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Alaa et al. 2022, arXiv:2102.08921, eqs. 4 and 5 (k = 2)",
)
