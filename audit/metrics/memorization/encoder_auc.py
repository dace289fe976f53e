"""Can the encoder tell copies apart? Area under the curve on held-out patients.

Disturbed copies of held-out volumes against each patient's nearest other patient. Below 0.95 every
answer of this section that rests on the encoder is inconclusive, and says so with this number.
"""

import numpy as np

from audit.comparison import Comparison
from audit.copies.search import LEAST_AUC, VIEWS, encoder_auc, extractor_of
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """The gate that the other metrics share."""
    return Measurement(
        estimate=encoder_auc(comparison),
        reference={"least": LEAST_AUC},
        params={
            "extractor": extractor_of(comparison),
            **comparison.encoder(extractor_of(comparison)).params,
            "views_per_patient": VIEWS,
        },
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Held-out copy detection as in Dar et al. 2024, arXiv:2402.01054; the gate is ours",
)
