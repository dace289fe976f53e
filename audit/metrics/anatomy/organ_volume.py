"""Volume of each labeled structure against the real cohort, in mL.

Wasserstein-1 between the distributions. A structure that is absent has 0 mL, so a missing organ
moves the distribution instead of leaving it. A cine is measured at end-diastole.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.masks.organ_table import organ_rows, structures_of
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure."""
    quantities = {name: f"volume_ml.{name}" for name in structures_of(comparison)}
    return compare_with_real(organ_rows(comparison), quantities, comparison, rng, prefix="anatomy")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, np.inf),
    unit="mL",
    needs=("labels",),
    source="Organ volumes by Wasserstein-1 as in the VolDiT evaluation code; 0 mL where missing",
)
