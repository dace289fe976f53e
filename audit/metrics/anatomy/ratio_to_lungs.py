"""Each structure's volume over that of both lungs, against the real cohort.

A ratio that survives a wrong spacing. Undefined where no lungs are labeled.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.masks.organ_table import organ_rows, require_lungs, structures_of
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure."""
    require_lungs(comparison)
    quantities = {name: f"to_lungs.{name}" for name in structures_of(comparison)}
    return compare_with_real(organ_rows(comparison), quantities, comparison, rng, prefix="anatomy")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, np.inf),
    needs=("labels",),
    source="Relative regional volumes: MedLoRD (arXiv 2503.13211); distance: Wasserstein-1",
)
