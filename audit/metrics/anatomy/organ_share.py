"""Each structure's share of all labeled voxels, against the real cohort, in percentage points.

The relative regional volumes of MedLoRD; where the body is labeled the whole is the body. No
spacing is needed.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.masks.organ_table import organ_rows, structures_of
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure."""
    quantities = {name: f"share_percent.{name}" for name in structures_of(comparison)}
    return compare_with_real(organ_rows(comparison), quantities, comparison, rng, prefix="anatomy")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, 100.0),
    unit="percentage points",
    needs=("labels",),
    source="Relative regional volumes: MedLoRD (arXiv 2503.13211); distance: Wasserstein-1",
)
