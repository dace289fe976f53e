"""Volume of what was made against the volume that was asked for, absolute and in percent.

A missing structure is off by 100 %; there is no upper end. Two equal volumes may lie in different
places: read it beside Dice.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.adherence import adherence_findings
from audit.metric import Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    return adherence_findings(
        comparison,
        rng,
        "volume_error_percent",
        better="lower",
        column="adherence.volume_error_percent",
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, np.inf),
    unit="%",
    needs=("conditions",),
    source="Relative volume difference: Heimann et al. 2009, doi 10.1109/TMI.2009.2013851",
)
