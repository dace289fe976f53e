"""Share of synthetic hearts that break a rule of plausibility.

The rules and their sources are one table, ``audit.heart.rules.RULES``, and stand in
``params["rules"]``. A rule applies where its quantity is defined for some heart of the audit
(without spacing, no rule in mL applies); a synthetic heart that lacks a quantity others have breaks
its rule: a ventricle that cannot be measured is not plausible. ``all`` counts hearts that break
any; ``real_vs_real`` is the same share of real hearts.
"""

from collections.abc import Sequence

import numpy as np

from audit.against_real import Rows, labels_params, rate_by_subject
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.heart.rules import RULES, Rule
from audit.heart.table import heart_rows
from audit.metric import Measurement, Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a rule, and ``all``."""
    rows = heart_rows(comparison)
    applicable = tuple(r for r in RULES if _applies(r, tuple(rows.values())))
    findings: dict[str, Outcome] = {"all": _rate(rows, applicable, comparison, rng)}
    for rule in RULES:
        findings[rule.name] = (
            _rate(rows, (rule,), comparison, rng)
            if rule in applicable
            else NotComputable(f"no heart of this audit has {rule.quantity}", "one")
        )
    return findings


def _applies(rule: Rule, cohorts: Sequence[Rows]) -> bool:
    return any(
        not isinstance(values[rule.quantity], NotComputable)
        for rows in cohorts
        for values in rows.values
    )


def _broken(rows: Rows, rules: tuple[Rule, ...]) -> list[bool]:
    return [any(r.broken_by(values[r.quantity]) for r in rules) for values in rows.values]


def _rate(
    rows: dict[str, Rows],
    rules: tuple[Rule, ...],
    comparison: Comparison,
    rng: np.random.Generator,
) -> Outcome:
    if not rules:
        return NotComputable("no rule applies", "hearts with at least one quantity")
    broken, subjects = _broken(rows["synthetic"], rules), rows["synthetic"].subjects
    estimate = rate_by_subject(broken, subjects, rng)
    real = [b for role in ("holdout", "train") for b in _broken(rows[role], rules)]
    return Measurement(
        estimate=estimate,
        reference={"real_vs_real": float(np.mean(real)) if real else None},
        params={
            **labels_params(comparison),
            "rules": [r.as_params() for r in rules],
            "implausible": [i for i, b in zip(rows["synthetic"].ids, broken, strict=True) if b][
                :20
            ],
        },
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, 1.0),
    needs=("cine",),
    source="Rules with sources in audit/heart/rules.py; interval: Clopper and Pearson 1934",
)
