"""What a heart must agree on with itself, against how well real hearts do.

Stroke volumes of the two ventricles, the myocardium's volume over the cycle, the first frame with
the last, one sweep down and one up, the center from slice to slice and from frame to frame; all in
percent (see ``audit.heart.course``). The value is the Wasserstein-1 distance to the real
distribution, since real hearts and real segmentations are not perfect either.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "stroke_volumes": "sv_mismatch_percent",
    "myocardium": "myocardium_range_percent",
    "closure": "closure_percent",
    "reversal": "reversal_percent",
    "slices": "slice_jump_percent",
    "frames": "frame_jump_percent",
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a quantity."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("jitter", "slice_shift"),
    bounds=(0.0, np.inf),
    unit="percentage points",
    needs=("cine",),
    source="Equal stroke volumes, incompressible muscle, periodic motion; distance: Wasserstein-1",
)
