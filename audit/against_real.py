"""Scalar quantities of each case against the real cohort: one measurement a quantity.

The reference is the hold-out cohort, which the generator never saw; where it has no values, train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import Estimate, bootstrap_by_subject, proportion
from audit.metric import Measurement, Outcome
from audit.pseudonym import pseudonym
from audit.statistics.marginal import LEVELS, Marginal, compare_marginals, marginal_floor
from audit.statistics.two_sample import Floor, holm, one_per_subject

if TYPE_CHECKING:
    import pandas as pd

    from audit.volume import LabelMap

FloatArray = npt.NDArray[np.float64]
Value = float | NotComputable

ROLES = ("train", "holdout", "synthetic")
MAX_UNDEFINED_SHARE = 0.1
"""How many more synthetic than real cases may lack a quantity; beyond, that is the finding."""
DRAWS = 999
MOST_LABELS = 2**22


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Values of every case in one role.

    Attributes:
        ids: Case ids, as they may leave the audit (real ones are pseudonyms).
        subjects: Subject of each case.
        values: One mapping a case: quantity to number or reason.
    """

    ids: Sequence[str]
    subjects: Sequence[str]
    values: Sequence[Mapping[str, Value]]


def cohort_rows(cohort: Cohort, values: Sequence[Mapping[str, Value]]) -> Rows:
    """Rows of one cohort, in its order."""
    ids = cohort.ids if cohort.role == "synthetic" else [pseudonym(i) for i in cohort.ids]
    return Rows(ids=ids, subjects=cohort.subjects, values=values)


def compare_with_real(
    rows: Mapping[str, Rows],
    quantities: Mapping[str, str],
    comparison: Comparison,
    rng: np.random.Generator,
    *,
    prefix: str,
) -> dict[str, Outcome]:
    """Compare each quantity's distribution with the real one.

    Args:
        rows: Of ``train``, ``holdout`` and ``synthetic``; real roles may be empty.
        quantities: Variant of the metric to name of the quantity.
        comparison: Whose labels are described in the parameters.
        rng: Source of randomness.
        prefix: Of the columns in cases.csv.

    Returns:
        By variant: Wasserstein-1 with interval and floor. Its p-value is adjusted by Holm over
        the variants; ``params`` holds the Kolmogorov-Smirnov test, adjusted likewise.
    """
    compared: dict[str, Compared] = {}
    outcomes: dict[str, Outcome] = {}
    for variant, quantity in quantities.items():
        try:
            compared[variant] = _compare(rows, quantity, rng, tests=len(quantities))
        except NotComputable as reason:
            outcomes[variant] = reason
    p_holm = holm([c.marginal.p_value for c in compared.values()])
    ks_holm = holm([c.marginal.ks_p_value for c in compared.values()])
    about = labels_params(comparison)
    for (variant, made), p, ks_p in zip(compared.items(), p_holm, ks_holm, strict=True):
        measurement = made.measurement(float(p), float(ks_p), len(compared))
        outcomes[variant] = replace(
            measurement,
            params={**measurement.params, **about},
            cases=case_table(rows, quantities[variant], prefix),
        )
    return {variant: outcomes[variant] for variant in quantities}


def role_maps(comparison: Comparison, role: str) -> "Sequence[LabelMap | NotComputable]":
    """Label maps of a role, in cohort order, as distributions are to be read from them.

    Real hold-out images are segmented where synthetic ones are: one instrument for both.
    """
    labels = comparison.labels()
    if not len(comparison.cohort_or_empty(role)):
        return ()
    return labels.segmented.get(role, labels.maps[role])


def rate_by_subject(
    hits: Sequence[bool], subjects: Sequence[str], rng: np.random.Generator
) -> Estimate:
    """Share of cases: Clopper-Pearson where each is its own subject, else resampled by subject."""
    if len(set(subjects)) == len(hits):
        return proportion(sum(map(bool, hits)), len(hits))
    return bootstrap_by_subject(np.mean, hits, subjects, rng=rng)


def labels_params(comparison: Comparison) -> dict[str, Any]:
    """What a finding must say of the labels it rests on."""
    labels = comparison.labels()
    return {
        "segmenter": labels.source,
        "segmenter_params": dict(labels.params),
        "holdout_maps": "segmented" if "holdout" in labels.segmented else "given",
    }


def case_table(rows: Mapping[str, Rows], quantity: str, prefix: str) -> "pd.DataFrame":
    """One column for cases.csv; an undefined value is an empty cell."""
    import pandas as pd

    records = [
        (case_id, role, float("nan") if isinstance(v := values[quantity], NotComputable) else v)
        for role in ROLES
        for case_id, values in zip(rows[role].ids, rows[role].values, strict=True)
    ]
    return pd.DataFrame(records, columns=["id", "role", f"{prefix}.{quantity}"])


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One quantity, compared."""

    real: FloatArray
    synthetic: FloatArray
    marginal: Marginal
    floor: Floor | None
    params: Mapping[str, Any]

    def measurement(self, p: float, ks_p: float, tests: int) -> Measurement:
        """The finding, with p-values adjusted over this many tests."""
        made, floor = self.marginal, self.floor
        shifts = made.quantile_shifts
        return Measurement(
            estimate=made.distance,
            reference={
                "real_vs_real": floor.mean if floor else None,
                "real_vs_real_low": floor.low if floor else None,
                "real_vs_real_high": floor.high if floor else None,
                "real_mean": float(self.real.mean()),
                "real_sd": float(self.real.std(ddof=1)),
                "synthetic_mean": float(self.synthetic.mean()),
                "synthetic_sd": float(self.synthetic.std(ddof=1)),
                "mean_shift": made.mean_shift.value,
                "mean_shift_low": made.mean_shift.low,
                "mean_shift_high": made.mean_shift.high,
            },
            p_value=p,
            params={
                "statistic": "Wasserstein-1",
                "test": f"Wasserstein-1, permuted by subject, Holm over {tests}",
                "p_unadjusted": made.p_value,
                "ks": made.ks,
                "ks_p": made.ks_p_value,
                "ks_p_holm": ks_p,
                "permutations": made.permutations,
                "floor_n": floor.n if floor else 0,
                **self.params,
            },
            series={
                "real": self.real.tolist(),
                "synthetic": self.synthetic.tolist(),
                "quantile_level": list(LEVELS),
                "quantile_shift": [s.value for s in shifts],
                "quantile_shift_low": [s.low for s in shifts],
                "quantile_shift_high": [s.high for s in shifts],
            },
        )


def _compare(
    rows: Mapping[str, Rows], quantity: str, rng: np.random.Generator, *, tests: int
) -> Compared:
    synthetic, undefined, why = values_of(rows["synthetic"], quantity, rng)
    real = {role: values_of(rows[role], quantity, rng) for role in ("train", "holdout")}
    check_undefined(rows, undefined, real["train"][1] + real["holdout"][1], f"{quantity}: {why}")
    role = "holdout" if len(real["holdout"][0]) >= 2 else "train"
    reference, missing, why = real[role]
    if len(reference) < 2:
        raise NotComputable(
            f"{len(reference)} real cases have {quantity}{': ' if why else ''}{why}",
            "at least two",
            "Give label maps of real cases",
        )
    everyone = np.concatenate([real["train"][0], real["holdout"][0]])
    try:
        floor = marginal_floor(everyone, len(reference), len(synthetic), rng=rng)
    except NotComputable:
        floor = None  # too few real subjects for one; the finding then has none
    return Compared(
        real=np.sort(reference),
        synthetic=np.sort(synthetic),
        marginal=compare_marginals(
            reference,
            synthetic,
            rng=rng,
            permutations=permutations_for(tests, len(reference) + len(synthetic)),
        ),
        floor=floor,
        params={
            "reference_role": role,
            "n_real": len(reference),
            "undefined_synthetic": undefined,
            "undefined_real": missing,
        },
    )


def permutations_for(tests: int, n: int) -> int:
    """Relabelings with which Holm over this many tests can still reach p = 0.001.

    A p-value is at least 1 / (permutations + 1), and Holm multiplies it: 999 draws over 17 segments
    of a wall could never say less than 0.017, however weak the contraction. At most 32 MiB, at
    least 999.

    Args:
        tests: Quantities that are adjusted together.
        n: Subjects of both sides.
    """
    return max(DRAWS, min((DRAWS + 1) * tests - 1, MOST_LABELS // n))


def check_undefined(rows: Mapping[str, Rows], synthetic: int, real: int, what: str) -> None:
    """Refuse a distribution that leaves out the synthetic cases which failed.

    Args:
        rows: By role.
        synthetic: Synthetic cases that lack the quantity.
        real: Real cases that lack it.
        what: The quantity and the reason of one.

    Raises:
        NotComputable: Synthetic cases lack it more often than real ones, by over 10 points.
    """
    of_synthetic = len(rows["synthetic"].values)
    of_real = len(rows["train"].values) + len(rows["holdout"].values)
    allowed = MAX_UNDEFINED_SHARE + (real / of_real if of_real else 0.0)
    if synthetic > allowed * of_synthetic:
        raise NotComputable(
            f"{synthetic} of {of_synthetic} synthetic and {real} of {of_real} real cases have no "
            f"{what}",
            f"at most {allowed:.0%} of synthetic cases, since leaving failures out flatters",
        )


def values_of(rows: Rows, quantity: str, rng: np.random.Generator) -> tuple[FloatArray, int, str]:
    """Values of one quantity, one a subject; how many cases lack it, and one reason why."""
    defined = [
        (subject, value)
        for subject, row in zip(rows.subjects, rows.values, strict=True)
        if not isinstance(value := row[quantity], NotComputable)
    ]
    reasons = [v.observed for row in rows.values if isinstance(v := row[quantity], NotComputable)]
    if not defined:
        return np.zeros(0), len(reasons), reasons[0] if reasons else ""
    picks = one_per_subject([s for s, _ in defined], rng)
    values = np.array([v for _, v in defined], dtype=np.float64)
    return values[picks], len(reasons), reasons[0] if reasons else ""
