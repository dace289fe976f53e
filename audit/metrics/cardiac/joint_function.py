"""The joint law of volumes and mass against the real cohort, by energy distance.

``absolute`` takes EDV and ESV of both ventricles and the mass; ``relative`` both ejection fractions
and the ratios between chambers and wall, which need no spacing. Marginals that all agree may hide
hearts that do not exist, such as large and thick ones where real hearts are one or the other. In
units of the real standard deviations, so values of different quantity lists do not compare.
"""

from dataclasses import replace

import numpy as np

from audit.against_real import labels_params
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.heart.table import heart_rows
from audit.joint_law import compare_joint_law
from audit.metric import Metric, Outcome

QUANTITIES = {
    "absolute": ("lv_edv_ml", "lv_esv_ml", "lv_mass_g", "rv_edv_ml", "rv_esv_ml"),
    "relative": ("lv_ef_percent", "rv_ef_percent", "lv_mass_g_per_edv_ml", "rv_edv_per_lv_edv"),
}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding with, one without need of a spacing."""
    rows, about = heart_rows(comparison), labels_params(comparison)
    findings: dict[str, Outcome] = {}
    for variant, quantities in QUANTITIES.items():
        try:
            made = compare_joint_law(rows, quantities, rng)
            findings[variant] = replace(made, params={**made.params, **about})
        except NotComputable as reason:
            findings[variant] = reason
    return findings


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, np.inf),
    unit="SD",
    needs=("cine",),
    source="Székely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018",
)
