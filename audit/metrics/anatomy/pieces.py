"""Connected pieces of each structure against the real cohort.

Wasserstein-1 between the numbers of 26-connected pieces at the reference frame. Sees organs in
crumbs; a segmenter that keeps only the largest piece hides them.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.masks.organ_table import organ_rows, structures_of
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure."""
    quantities = {name: f"pieces.{name}" for name in structures_of(comparison)}
    return compare_with_real(organ_rows(comparison), quantities, comparison, rng, prefix="anatomy")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="pieces",
    needs=("labels",),
    source="Connected components: Kong and Rosenfeld 1989, doi 10.1016/0734-189X(89)90147-3",
)
