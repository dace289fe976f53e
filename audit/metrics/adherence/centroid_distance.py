"""Distance between the centers of mass of requested mask and result, in mm.

Sees a shift long before Dice of a large structure does. A missing structure is booked with the
image's diagonal.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.adherence import adherence_findings
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    return adherence_findings(
        comparison,
        rng,
        "centroid_distance_mm",
        better="lower",
        column="adherence.centroid_distance_mm",
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("mask_shift", "missing_organ"),
    bounds=(0.0, np.inf),
    unit="mm",
    needs=("conditions",),
    source="Distance of centers of mass; a shift by k voxels gives k times the spacing",
)
