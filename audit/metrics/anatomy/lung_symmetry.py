"""Left–right difference of lung volume over both lungs, against the real cohort.

In percentage points; negative means a larger right lung, as in most people. No spacing is needed.
Undefined for a case that lacks a lung, and such cases are counted by ``detection_rate``.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.masks.organ_table import organ_rows, require_lungs
from audit.metric import Metric, Outcome

QUANTITIES = {"lungs": "lung_asymmetry_percent"}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """The finding."""
    require_lungs(comparison)
    rows = organ_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="anatomy")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, 200.0),
    unit="percentage points",
    needs=("labels",),
    source="(left − right) / (left + right); distance: Wasserstein-1",
)
