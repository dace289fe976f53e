"""Share of both boundaries that lies within a tolerance of the other (normalized surface Dice).

The tolerance is 2 mm unless the option ``surface_tolerance_mm`` says otherwise; it should be what
two readers differ by. On voxels larger than the tolerance only coinciding boundaries count. A
missing structure scores 0.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.adherence import adherence_findings
from audit.masks.requested import measure_adherence, tolerance_mm
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    if not measure_adherence(comparison).spacing_known:
        raise NotComputable("spacing is unknown", "a voxel size in mm for the tolerance")
    return adherence_findings(
        comparison,
        rng,
        "surface_dice",
        better="higher",
        column="adherence.surface_dice",
        params={"tolerance_mm": tolerance_mm(comparison)},
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("mask_shift", "missing_organ"),
    bounds=(0.0, 1.0),
    needs=("conditions",),
    source="Nikolov et al. 2021, doi 10.2196/26151, on boundary voxels as MONAI does",
)
