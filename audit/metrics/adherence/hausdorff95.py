"""95th percentile Hausdorff distance between requested mask and result, in mm, by both definitions.

``max_directed`` is the larger of the two directed percentiles (MONAI), ``pooled`` the percentile of
both directions' distances together (medpy). On the same masks they can differ fivefold: compare
only equal definitions. A missing structure is booked with the image's diagonal, never dropped.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.adherence import adherence_findings
from audit.metric import Metric, Outcome

DEFINITIONS = ("max_directed", "pooled")


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure and definition."""
    findings: dict[str, Outcome] = {}
    for definition in DEFINITIONS:
        quantity = f"hausdorff95_{definition}_mm"
        found = adherence_findings(
            comparison,
            rng,
            quantity,
            better="lower",
            column=f"adherence.{quantity}",
            params={"definition": definition},
        )
        findings |= {f"{structure} {definition}": one for structure, one in found.items()}
    return findings


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("mask_shift", "missing_organ"),
    bounds=(0.0, np.inf),
    unit="mm",
    needs=("conditions",),
    source="Huttenlocher et al. 1993, doi 10.1109/34.232073; definitions of MONAI and medpy",
)
