"""Part of the cycle from end-diastole to end-systole, against the real cohort.

Resolved to one frame. Undefined where frames are out of order.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "lv": "lv_time_to_es_fraction",
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """The finding."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, 1.0),
    unit="fraction of the cycle",
    needs=("cine",),
    source="Weissler et al. 1968, doi 10.1161/01.CIR.37.2.149; distance: Wasserstein-1",
)
