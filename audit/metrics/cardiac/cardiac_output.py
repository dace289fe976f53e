"""Cardiac output of both ventricles against the real cohort, in L/min.

Stroke volume over the length of the cycle, which is the number of frames times the time between
them; undefined where that time is unknown.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "lv": "lv_co_l_min",
    "rv": "rv_co_l_min",
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a ventricle."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, np.inf),
    unit="L/min",
    needs=("cine",),
    source="Schulz-Menger et al. 2020, doi 10.1186/s12968-020-00610-6; distance: Wasserstein-1",
)
