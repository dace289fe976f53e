"""Difference in how well held-out real and synthetic cines close on themselves.

Each cine gives its change from the last frame to the first over the median change of neighbors:
about 1 where the heart returns to where it began. The value is the Wasserstein-1 distance of that
number. A retrospectively gated cine closes; a prospectively gated one may lack the end of diastole,
which is why real cines and not 1 are the measure.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.descriptors import describe
from audit.masks.pairing import measured_scalar
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """One value: hold-out against synthetic."""
    rows = describe(comparison, "closure").as_rows(0)
    return measured_scalar(
        comparison, rows, rng, quantity="last-to-first over median neighboring change"
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("jitter",),
    bounds=(0.0, np.inf),
    needs=("holdout", "cine"),
    source="own definition: audit.features.motion.cycle_closure",
)
