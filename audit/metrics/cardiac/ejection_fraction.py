"""Ejection fraction of both ventricles against the real cohort, in percentage points.

The value is the Wasserstein-1 distance between the two distributions: by how many points of
ejection fraction a synthetic heart must change, on average, for the cohorts to agree. It needs no
spacing. Read it against ``real_vs_real``, the distance of two real cohorts of the same sizes, and
beside the segmenter's own bias: an error of the segmenter that real and synthetic cases share
cancels, one that only synthetic images provoke does not.
"""

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart_table import heart_rows
from audit.metric import Metric, Outcome

QUANTITIES = {"lv": "lv_ef_percent", "rv": "rv_ef_percent"}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a ventricle."""
    rows = heart_rows(comparison)
    return compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, 100.0),
    unit="percentage points",
    needs=("cine",),
    source="Wasserstein-1 of the ejection fractions that CardioDiT (arXiv 2603.25194) tabulates",
)
