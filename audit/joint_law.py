"""The joint law of several quantities of a case against the real cohort, as one finding."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from audit.against_real import Rows, check_undefined
from audit.errors import NotComputable
from audit.metric import Measurement
from audit.statistics.joint import compare_joint
from audit.statistics.two_sample import one_per_subject

FloatArray = npt.NDArray[np.float64]


def compare_joint_law(
    rows: Mapping[str, Rows], quantities: Sequence[str], rng: np.random.Generator
) -> Measurement:
    """Energy distance between the synthetic and the real joint law of several quantities.

    Args:
        rows: Of ``train``, ``holdout`` and ``synthetic``.
        quantities: Columns of the joint law.
        rng: Source of randomness.

    Raises:
        NotComputable: Too many synthetic cases lack a quantity, or too few real ones have all.
    """
    tables = {role: complete_rows(r, quantities, rng) for role, r in rows.items()}
    synthetic, undefined, why = tables["synthetic"]
    lacking = tables["train"][1] + tables["holdout"][1]
    check_undefined(rows, undefined, lacking, f"complete set of quantities: {why}")
    role, other = ("holdout", "train") if len(tables["holdout"][0]) >= 2 else ("train", "holdout")
    real = tables[role][0]
    joint = compare_joint(real, synthetic, further_real=tables[other][0], rng=rng)
    floor = joint.floor
    return Measurement(
        estimate=joint.distance,
        reference={
            "real_vs_real": floor.mean if floor else None,
            "real_vs_real_low": floor.low if floor else None,
            "real_vs_real_high": floor.high if floor else None,
        },
        p_value=joint.p_value,
        params={
            "quantities": list(quantities),
            "test": "energy distance, permuted by subject",
            "permutations": joint.permutations,
            "scaling": "standard deviation of the real cohort",
            "reference_role": role,
            "n_real": len(real),
            "floor_n": floor.n if floor else 0,
            "undefined_synthetic": undefined,
            "real_mean": real.mean(axis=0).tolist(),
            "real_sd": real.std(axis=0, ddof=1).tolist(),
            "synthetic_mean": synthetic.mean(axis=0).tolist(),
            "synthetic_sd": synthetic.std(axis=0, ddof=1).tolist(),
        },
    )


def complete_rows(
    rows: Rows, quantities: Sequence[str], rng: np.random.Generator
) -> tuple[FloatArray, int, str]:
    """One row a subject (n, d) of cases that have every quantity; how many lack one, and why."""
    subjects, table, reasons = [], [], []
    for subject, values in zip(rows.subjects, rows.values, strict=True):
        row = [values[q] for q in quantities]
        missing = [v.observed for v in row if isinstance(v, NotComputable)]
        if missing:
            reasons.append(missing[0])
            continue
        subjects.append(subject)
        table.append(row)
    if not table:
        return np.zeros((0, len(quantities))), len(reasons), reasons[0] if reasons else ""
    picks = one_per_subject(subjects, rng)
    return np.array(table, dtype=np.float64)[picks], len(reasons), (reasons or [""])[0]
