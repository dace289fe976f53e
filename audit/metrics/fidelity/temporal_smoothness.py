"""Difference in smoothness of motion between held-out real and synthetic cines.

Each cine gives the size of its second temporal differences over that of its first: 0 for uniform
change, the square root of 3 for frames of independent noise. The value is the Wasserstein-1
distance of that number, so motion that is too smooth counts as much as jitter. Gradient based: no
optical flow network, whose own errors would enter.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.descriptors import describe
from audit.masks.pairing import measured_scalar
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """One value: hold-out against synthetic."""
    rows = describe(comparison, "roughness").as_rows(0)
    return measured_scalar(
        comparison, rows, rng, quantity="rms second over rms first temporal difference"
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("jitter", "noise"),
    bounds=(0.0, np.inf),
    needs=("holdout", "cine"),
    source="own definition, discrete temporal curvature: audit.features.motion.motion_roughness",
)
