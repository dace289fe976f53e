"""Peak ejection and filling rates of the left ventricle against the real cohort, in mL/s.

As ``filling_rate``, with spacing and the time between frames known.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "ejection": "lv_peak_ejection_ml_s",
    "filling": "lv_peak_filling_ml_s",
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
    unit="mL/s",
    needs=("cine",),
    source="Kawel-Boehm et al. 2020, doi 10.1186/s12968-020-00683-3; distance: Wasserstein-1",
)
