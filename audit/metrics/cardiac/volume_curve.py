"""The course of the volume–time curves against the real cohort, by energy distance.

Curves of LV, RV and myocardium over 20 phases from end-diastole, the cavities as a share of the
LV's end-diastolic volume, the myocardium as a share of its own mean: no spacing is needed. It sees
a beat of the wrong shape that ED and ES alone do not show. Needs labels on every frame, and frames
in order of time.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from audit.against_real import Rows, labels_params
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.heart.table import PHASES, heart_curves, heart_rows
from audit.joint_law import compare_joint_law
from audit.metric import Measurement, Metric, Outcome

STRUCTURES = ("lv", "rv", "myocardium")
NAMES = tuple(f"phase {k}" for k in range(PHASES))
BAND = (0.05, 0.5, 0.95)


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure."""
    about = labels_params(comparison)
    findings: dict[str, Outcome] = {}
    for structure in STRUCTURES:
        try:
            comparison.labels().require(structure)
            made = _compare(comparison, structure, rng)
            findings[structure] = replace(made, params={**made.params, **about})
        except NotComputable as reason:
            findings[structure] = reason
    return findings


def _compare(comparison: Comparison, structure: str, rng: np.random.Generator) -> Measurement:
    known, curves = heart_rows(comparison), heart_curves(comparison, structure)
    rows = {
        role: Rows(
            ids=known[role].ids,
            subjects=known[role].subjects,
            values=[
                dict.fromkeys(NAMES, curve)
                if isinstance(curve, NotComputable)
                else dict(zip(NAMES, curve, strict=True))
                for curve in curves[role]
            ],
        )
        for role in known
    }
    made = compare_joint_law(rows, NAMES, rng)
    bands = {
        "real": curves[made.params["reference_role"]],
        "synthetic": curves["synthetic"],
    }
    series = {"phase": (np.arange(PHASES) / PHASES).tolist()}
    for name, of in bands.items():
        stacked: npt.NDArray[np.float64] = np.stack(
            [c for c in of if not isinstance(c, NotComputable)]
        )
        for level, row in zip(
            ("low", "median", "high"), np.quantile(stacked, BAND, axis=0), strict=True
        ):
            series[f"{name}_{level}"] = row.tolist()
    return replace(made, series=series)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("weak_contraction",),
    bounds=(0.0, np.inf),
    unit="SD",
    needs=("cine",),
    source="Székely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018, on curves over the cycle",
)
