"""Volumes and mass per body surface area, against the real cohort.

In mL/m² (mass: g/m²). Defined where cases carry ``bsa_m2``; a synthetic case rarely does.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "lv_edvi": "lv_edvi_ml_m2",
    "lv_esvi": "lv_esvi_ml_m2",
    "lv_svi": "lv_svi_ml_m2",
    "rv_edvi": "rv_edvi_ml_m2",
    "rv_esvi": "rv_esvi_ml_m2",
    "rv_svi": "rv_svi_ml_m2",
    "lv_mass": "lv_mass_g_m2",
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
    unit="mL/m² or g/m²",
    needs=("cine",),
    source="Kawel-Boehm et al. 2020, doi 10.1186/s12968-020-00683-3; distance: Wasserstein-1",
)
