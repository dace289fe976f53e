"""Ejection fraction of both ventricles against the real cohort, in percentage points.

The value is the Wasserstein-1 distance between the two distributions: by how many points of
ejection fraction a synthetic heart must change, on average, for the cohorts to agree. It needs no
spacing. Read it against ``real_vs_real``, the distance of two real cohorts of the same sizes, and
beside the segmenter's own bias (``segmenter_bias``, with its limits of agreement): an error that
real and synthetic images share cancels, one that only synthetic images provoke does not.
"""

from dataclasses import replace

import numpy as np

from audit.against_real import compare_with_real
from audit.comparison import Comparison
from audit.heart.table import heart_rows
from audit.metric import Measurement, Metric, Outcome

QUANTITIES = {"lv": "lv_ef_percent", "rv": "rv_ef_percent"}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a ventricle."""
    rows = heart_rows(comparison)
    findings = compare_with_real(rows, QUANTITIES, comparison, rng, prefix="cardiac")
    return {
        side: replace(found, reference={**found.reference, **_bias(comparison, side)})
        if isinstance(found, Measurement)
        else found
        for side, found in findings.items()
    }


def _bias(comparison: Comparison, side: str) -> dict[str, float]:
    """The segmenter's own error on real hearts, in percentage points; nothing for given maps."""
    error = comparison.labels().error
    if error is None:
        return {}
    bias, limits = (
        (error.ef_bias, error.ef_limits_of_agreement)
        if side == "lv"
        else (error.rv_ef_bias, error.rv_ef_limits_of_agreement)
    )
    if bias is None:
        return {}
    low, high = limits or (None, None)
    known = {
        "segmenter_bias": bias.value,
        "segmenter_bias_low": low,
        "segmenter_bias_high": high,
    }
    return {name: value for name, value in known.items() if value is not None}


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, 100.0),
    unit="percentage points",
    needs=("cine",),
    source="Wasserstein-1 of the ejection fractions that CardioDiT (arXiv 2603.25194) tabulates",
)
