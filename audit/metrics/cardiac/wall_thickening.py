"""Thickening of the wall from end-diastole to end-systole by AHA segment against the real cohort.

In percent of the thickness at end-diastole. ``mean`` is the whole wall. It needs no spacing.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.heart.wall import SEGMENTS
from audit.metric import Metric, Outcome

QUANTITIES = {
    "mean": "wall_thickening_percent",
    **{f"aha{k:02d}": f"wall_thickening_aha{k:02d}_percent" for k in range(1, SEGMENTS + 1)},
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding for the whole wall and one a segment."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, np.inf),
    unit="percentage points",
    needs=("cine",),
    source="Segments: Cerqueira et al. 2002, doi 10.1161/hc0402.102975; distance: Wasserstein-1",
)
