"""Average symmetric surface distance between requested mask and result, in mm.

Mean over all boundary voxels of both masks. A missing structure is booked with the image's
diagonal. Below one voxel it is dominated by discretization.
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
        "average_surface_distance_mm",
        better="lower",
        column="adherence.average_surface_distance_mm",
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("mask_shift", "missing_organ"),
    bounds=(0.0, np.inf),
    unit="mm",
    needs=("conditions",),
    source="Heimann et al. 2009, doi 10.1109/TMI.2009.2013851; pooled over both surfaces",
)
