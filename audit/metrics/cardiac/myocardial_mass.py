"""Left-ventricular mass at end-diastole against the real cohort, in g.

Myocardial volume times 1.05 g/mL.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {
    "lv": "lv_mass_g",
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """The finding."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="g",
    needs=("cine",),
    source="Schulz-Menger et al. 2020, doi 10.1186/s12968-020-00610-6; distance: Wasserstein-1",
)
