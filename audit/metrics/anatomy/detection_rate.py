"""Share of cases that show each structure, beside the share of real cases that do.

``all`` counts cases that show every structure which at least 95 % of real cases show. Distributions
of organ sizes leave missing organs out at their peril; here they are the number itself. The p-value
(Fisher) tests equal rates in synthetic and real cases, adjusted by Holm over structures.
"""

from dataclasses import replace

import numpy as np

from audit.against_real import Rows, case_table, labels_params, rate_by_subject
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.organ_table import organ_rows, structures_of
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.two_sample import holm

USUAL = 0.95


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    rows, structures = organ_rows(comparison), structures_of(comparison)
    real = {name: _seen(rows["train"], name) + _seen(rows["holdout"], name) for name in structures}
    usual = [name for name, seen in real.items() if seen and np.mean(seen) >= USUAL]
    findings: dict[str, Outcome] = {}
    for name in structures:
        seen = _seen(rows["synthetic"], name)
        cells = [values[f"detected.{name}"] for values in rows["synthetic"].values]
        unknown = [cell for cell in cells if isinstance(cell, NotComputable)]
        if unknown:
            findings[name] = unknown[0]
            continue
        table = case_table(rows, f"detected.{name}", "anatomy")
        findings[name] = replace(
            compare_rates(seen, real[name], rows["synthetic"], rng), cases=table
        )
    told = {
        n: f for n, f in findings.items() if isinstance(f, Measurement) and f.p_value is not None
    }
    for (name, found), p in zip(
        told.items(), holm([f.p_value or 0.0 for f in told.values()]), strict=True
    ):
        findings[name] = replace(found, p_value=float(p))
    if usual and all(isinstance(findings[name], Measurement) for name in usual):
        complete = np.all([_seen(rows["synthetic"], name) for name in usual], axis=0).tolist()
        expected = np.min([np.mean(real[name]) for name in usual])
        whole = compare_rates(complete, [], rows["synthetic"], rng)
        findings["all"] = replace(whole, reference={"real_vs_real": float(expected)})
    about = {**labels_params(comparison), "test": "Fisher's exact, Holm over structures"}
    return {
        name: replace(f, params=about) if isinstance(f, Measurement) else f
        for name, f in findings.items()
    }


def _seen(rows: Rows, name: str) -> list[bool]:
    found = [values[f"detected.{name}"] for values in rows.values]
    return [bool(v) for v in found if not isinstance(v, NotComputable)]


def compare_rates(
    seen: list[bool], real: list[bool], rows: Rows, rng: np.random.Generator
) -> Measurement:
    """Rate with its interval, and Fisher's p against the real cases' where there are any."""
    from scipy.stats import fisher_exact

    estimate = rate_by_subject(seen, rows.subjects, rng)
    if not real:
        return Measurement(estimate=estimate)
    table = np.array([[sum(s), len(s) - sum(s)] for s in (seen, real)])
    return Measurement(
        estimate=estimate,
        reference={"real_vs_real": float(np.mean(real))},
        p_value=float(fisher_exact(table)[1]),
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("missing_organ",),
    bounds=(0.0, 1.0),
    needs=("labels",),
    source="Detection success rate of the VolDiT evaluation code; Clopper and Pearson 1934",
)
