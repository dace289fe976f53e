"""End-diastolic, end-systolic and stroke volumes of both ventricles against the real cohort, in mL.

Wasserstein-1 between the distributions, with mean and standard deviation of both cohorts beside it.
ED and ES are the frames of the largest and the smallest left-ventricular volume. Where spacing is
unknown (an identity affine) there are no mL, and only the ratios of the other metrics remain.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "lv_edv": "lv_edv_ml",
    "lv_esv": "lv_esv_ml",
    "lv_sv": "lv_sv_ml",
    "rv_edv": "rv_edv_ml",
    "rv_esv": "rv_esv_ml",
    "rv_sv": "rv_sv_ml",
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a quantity."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, np.inf),
    unit="mL",
    needs=("cine",),
    source="Schulz-Menger et al. 2020, doi 10.1186/s12968-020-00610-6; distance: Wasserstein-1",
)
