"""Function within each pathology group against real hearts of the same group, by energy distance.

The joint law of both ejection fractions and the ratios between chambers and wall, which need no
spacing. A generator can match the whole cohort and still draw every disease alike. The p-values are
adjusted by Holm over the groups; mean and standard deviation of each quantity stand in ``params``.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from audit.against_real import Rows, labels_params
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.heart.table import heart_rows
from audit.joint_law import compare_joint_law
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.two_sample import holm

QUANTITIES = ("lv_ef_percent", "rv_ef_percent", "lv_mass_g_per_edv_ml", "rv_edv_per_lv_edv")
LEAST_SUBJECTS = 3


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a group that synthetic cases name."""
    rows, about = heart_rows(comparison), labels_params(comparison)
    groups = {role: comparison.cohort_or_empty(role).groups for role in rows}
    findings: dict[str, Outcome] = {}
    for group in sorted({g for g in groups["synthetic"] if g is not None}):
        chosen = {role: of_group(rows[role], groups[role], group) for role in rows}
        try:
            findings[group] = _of_group(chosen, group, rng)
        except NotComputable as reason:
            findings[group] = reason
    measured = {g: f for g, f in findings.items() if isinstance(f, Measurement)}
    adjusted = holm([f.p_value for f in measured.values() if f.p_value is not None])
    for (group, found), p in zip(measured.items(), adjusted, strict=True):
        params = {**found.params, **about, "p_unadjusted": found.p_value}
        findings[group] = replace(found, p_value=float(p), params=params)
    return findings


def of_group(rows: Rows, groups: Sequence[str | None], group: str) -> Rows:
    """The rows of one group."""
    kept = [i for i, g in enumerate(groups) if g == group]
    return Rows(
        ids=[rows.ids[i] for i in kept],
        subjects=[rows.subjects[i] for i in kept],
        values=[rows.values[i] for i in kept],
    )


def _of_group(chosen: dict[str, Rows], group: str, rng: np.random.Generator) -> Measurement:
    counts = {role: len(set(rows.subjects)) for role, rows in chosen.items()}
    real = max(counts["holdout"], counts["train"])
    if min(real, counts["synthetic"]) < LEAST_SUBJECTS:
        raise NotComputable(
            f"group {group} has {real} real and {counts['synthetic']} synthetic subjects",
            f"at least {LEAST_SUBJECTS} of each",
        )
    if counts["holdout"] < LEAST_SUBJECTS:
        nobody = Rows(ids=(), subjects=(), values=())
        chosen = {**chosen, "holdout": nobody}
    return compare_joint_law(chosen, QUANTITIES, rng)


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="SD",
    needs=("cine", "groups"),
    source="Groups as in ACDC (Bernard et al. 2018, doi 10.1109/TMI.2018.2837502); energy distance",
)
