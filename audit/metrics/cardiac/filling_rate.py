"""Peak ejection and filling rates of the left ventricle against the real cohort.

The steepest slopes of the volume–time curve between neighboring frames, in end-diastolic volumes
per cycle, so that neither spacing nor time between frames is needed. With few frames per cycle a
slope is an average: compare cohorts of one frame count only.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "ejection": "lv_peak_ejection_edv_per_cycle",
    "filling": "lv_peak_filling_edv_per_cycle",
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a rate."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, np.inf),
    unit="EDV per cycle",
    needs=("cine",),
    source="Bacharach et al. 1979, J Nucl Med 20:189 (rates in EDV); distance: Wasserstein-1",
)
