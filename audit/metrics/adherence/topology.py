"""Components and holes of what was made, against those of the requested mask.

``components`` counts pieces too many or too few, ``holes`` tunnels and cavities; the mean over
frames and cases. An overlap score barely sees a hole in a wall or a crumb of an organ elsewhere.
Pieces are 26-connected, so one stray voxel counts: a segmenter that removes small pieces hides it.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.adherence import adherence_findings
from audit.metric import Metric, Outcome

QUANTITIES = {"components": "components_difference", "holes": "holes_difference"}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure and kind."""
    findings: dict[str, Outcome] = {}
    for kind, quantity in QUANTITIES.items():
        found = adherence_findings(
            comparison,
            rng,
            quantity,
            better="lower",
            column=f"adherence.{quantity}",
            statistic="mean",
        )
        findings |= {f"{structure} {kind}": one for structure, one in found.items()}
    return findings


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, np.inf),
    needs=("conditions",),
    source="Digital topology: Kong and Rosenfeld 1989, doi 10.1016/0734-189X(89)90147-3",
)
