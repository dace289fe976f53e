"""Wall thickness at end-diastole by AHA segment against the real cohort, in mm.

``mean`` is the whole wall; the 16 segments need the right ventricle to know where the septum is.
Measured by areas in sectors (see ``audit.heart.wall``), so below the size of a voxel on average,
but a segment of a coarse image is noisy: read it against its floor.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.heart.wall import SEGMENTS
from audit.metric import Metric, Outcome

QUANTITIES = {
    "mean": "wall_thickness_mm",
    **{f"aha{k:02d}": f"wall_thickness_aha{k:02d}_mm" for k in range(1, SEGMENTS + 1)},
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding for the whole wall and one a segment."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="mm",
    needs=("cine",),
    source="Segments: Cerqueira et al. 2002, doi 10.1161/hc0402.102975; distance: Wasserstein-1",
)
