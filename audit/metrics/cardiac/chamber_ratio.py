"""Ratios between the heart's parts at end-diastole against the real cohort; they need no spacing.

Left-ventricular mass over volume (g/mL, the index of concentric remodeling) and right over left
ventricular volume.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "mass_to_volume": "lv_mass_g_per_edv_ml",
    "rv_to_lv": "rv_edv_per_lv_edv",
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a ratio."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    needs=("cine",),
    source="Kawel-Boehm et al. 2020, doi 10.1186/s12968-020-00683-3; distance: Wasserstein-1",
)
