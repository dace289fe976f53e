"""Share of each structure that lies outside its largest piece, against the real cohort.

In percentage points; read it beside ``pieces``, which counts a stray voxel like half an organ.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.masks.organ_table import organ_rows, structures_of
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure."""
    quantities = {name: f"crumbs_percent.{name}" for name in structures_of(comparison)}
    return compare_with_real(organ_rows(comparison), quantities, comparison, rng, prefix="anatomy")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, 100.0),
    unit="percentage points",
    needs=("labels",),
    source="Connected components: Kong and Rosenfeld 1989, doi 10.1016/0734-189X(89)90147-3",
)
