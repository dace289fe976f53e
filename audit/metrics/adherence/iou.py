"""Intersection over union between each requested mask and the label map of what was made from it.

The same order as Dice by case, but harsher on small errors; a missing structure scores 0.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.adherence import adherence_findings
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    return adherence_findings(comparison, rng, "iou", better="higher", column="adherence.iou")


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("mask_shift", "missing_organ"),
    bounds=(0.0, 1.0),
    needs=("conditions",),
    source="Jaccard 1912, doi 10.1111/j.1469-8137.1912.tb05611.x",
)
