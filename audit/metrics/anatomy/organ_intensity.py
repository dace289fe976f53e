"""Median intensity inside each structure against the real cohort, in HU (CT) or image units (MR).

Wasserstein-1 between the medians' distributions. An organ at a wrong intensity is invisible to
features that normalize each volume. ``organ_intensity_in_range`` is the pass rate beside it.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.masks.organ_table import organ_rows, structures_of
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure."""
    quantities = {name: f"intensity.{name}" for name in structures_of(comparison)}
    return compare_with_real(organ_rows(comparison), quantities, comparison, rng, prefix="anatomy")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("intensity_shift",),
    bounds=(0.0, np.inf),
    unit="HU or image units",
    needs=("labels",),
    source="Median HU by organ: MAISI (arXiv 2409.11169); distance: Wasserstein-1",
)
