"""The joint law of all structures' sizes against the real cohort, by energy distance.

``absolute`` takes the volumes in mL, ``relative`` the shares of all labeled voxels, which need no
spacing. Multivariate on purpose: each organ may have a right distribution of sizes while no patient
has that combination. In units of the real standard deviations.
"""

from dataclasses import replace

import numpy as np

from audit.against_real import labels_params
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.joint_law import compare_joint_law
from audit.masks.organ_table import judged_structures, organ_rows
from audit.metric import Metric, Outcome

QUANTITIES = {"absolute": "volume_ml", "relative": "share_percent"}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding with, one without need of a spacing."""
    rows, about = organ_rows(comparison), labels_params(comparison)
    structures = judged_structures(comparison)
    findings: dict[str, Outcome] = {}
    for variant, quantity in QUANTITIES.items():
        try:
            made = compare_joint_law(rows, [f"{quantity}.{s}" for s in structures], rng)
            findings[variant] = replace(
                made, params={**made.params, **about, "structures": list(structures)}
            )
        except NotComputable as reason:
            findings[variant] = reason
    return findings


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ", "collapse"),
    bounds=(0.0, np.inf),
    unit="SD",
    needs=("labels",),
    source="WASABI (arXiv 2504.21771); Székely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018",
)
