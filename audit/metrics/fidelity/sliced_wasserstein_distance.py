"""Mean earth mover's distance of held-out real and synthetic features along random directions.

0 only where the two sets agree; always positive at finite n, so read it against ``real_vs_real``.
No Gaussian assumption and no kernel; in the features' own unit.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_log
from audit.statistics.sliced import DIRECTIONS, sliced_in_pool


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        found = infer(
            one_by_one(sliced_in_pool),
            pool_for(comparison, extractor),
            rng=own,
            permutations=199,
            interval=students_on_log,
        )
        params = comparison.features(extractor).params
        return measured(comparison, found, **params, directions=DIRECTIONS, order=1)

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "collapse", "intensity_shift"),
    bounds=(0.0, np.inf),
    needs=("holdout",),
    source="Bonneel et al. 2015, doi 10.1007/s10851-014-0506-3, eq. 6 with p = 1",
)
