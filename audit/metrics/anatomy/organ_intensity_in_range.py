"""Share of cases whose median intensity inside a structure lies in the range of real cases.

The quality gate of MAISI: per structure, between the least and the greatest median over real cases.
Of N real cases, a further real one lies within with probability (N − 1) / (N + 1), whatever the
distribution: that is ``real_vs_real``. A case that lacks a structure which at least 95 % of real
cases have lies outside. ``all`` counts cases within for every structure.
"""

import numpy as np

from audit.against_real import Rows, Value, labels_params, rate_by_subject
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.organ_table import organ_rows, structures_of
from audit.metric import Measurement, Metric, Outcome

USUAL = 0.95
LEAST_REAL = 5


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    rows, about = organ_rows(comparison), labels_params(comparison)
    within: dict[str, list[bool | None]] = {}
    findings: dict[str, Outcome] = {}
    for name in structures_of(comparison):
        try:
            low, high, n = real_range(rows, name)
        except NotComputable as reason:
            findings[name] = reason
            continue
        usual = n >= USUAL * (len(rows["train"].values) + len(rows["holdout"].values))
        within[name] = [
            _within(v[f"intensity.{name}"], low, high, usual=usual)
            for v in rows["synthetic"].values
        ]
        told = [i for i, w in enumerate(within[name]) if w is not None]
        if not told:
            findings[name] = NotComputable(f"no synthetic case shows {name}", "one")
            continue
        subjects = [rows["synthetic"].subjects[i] for i in told]
        made = rate_by_subject([bool(within[name][i]) for i in told], subjects, rng)
        findings[name] = Measurement(
            estimate=made,
            reference={"real_vs_real": (n - 1) / (n + 1)},
            params={**about, "low": low, "high": high, "n_real": n},
        )
    if within:
        every = [
            all(w[i] is not False for w in within.values())
            for i in range(len(comparison.synthetic))
        ]
        estimate = rate_by_subject(every, rows["synthetic"].subjects, rng)
        findings["all"] = Measurement(estimate=estimate, params=about)
    return findings


def real_range(rows: dict[str, Rows], name: str) -> tuple[float, float, int]:
    """Least and greatest real median, and over how many cases.

    Raises:
        NotComputable: Fewer than five real cases show the structure.
    """
    real = [v[f"intensity.{name}"] for role in ("train", "holdout") for v in rows[role].values]
    medians = [v for v in real if not isinstance(v, NotComputable)]
    if len(medians) < LEAST_REAL:
        raise NotComputable(f"{len(medians)} real cases show {name}", f"at least {LEAST_REAL}")
    return min(medians), max(medians), len(medians)


def _within(value: Value, low: float, high: float, *, usual: bool) -> bool | None:
    """None where a structure is absent that real cases often lack too."""
    if isinstance(value, NotComputable):
        return False if usual else None
    return low <= value <= high


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("intensity_shift",),
    bounds=(0.0, 1.0),
    needs=("labels",),
    source="HU quality gate of MAISI (arXiv 2409.11169); floor: order statistics",
)
