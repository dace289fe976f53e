"""Share of requested structures that are not there in what was made.

``all`` is the share of cases that lack any. A case of a cine counts when the structure is absent in
any frame. These cases stay in every other adherence number as failures: leaving them out would make
the distances better the more is missed.
"""

from dataclasses import replace

import numpy as np

from audit.against_real import labels_params, rate_by_subject
from audit.comparison import Comparison
from audit.masks.requested import Adherence, measure_adherence
from audit.masks.scores import Mask
from audit.metric import Measurement, Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    table = measure_adherence(comparison)
    asked = ~np.isnan(table.scores["dice"])
    findings: dict[str, Outcome] = {"all": _rate(table, *_any(asked, table.missing), rng)}
    for k, name in enumerate(table.structures):
        findings[name] = _rate(table, asked[:, k], table.missing[:, k], rng)
    params = labels_params(comparison)
    return {
        name: replace(one, params={**one.params, **params}) if isinstance(one, Measurement) else one
        for name, one in findings.items()
    }


def _any(asked: Mask, missing: Mask) -> tuple[Mask, Mask]:
    """Over all structures of a case."""
    return np.logical_or.reduce(asked, axis=1), np.logical_or.reduce(missing, axis=1)


def _rate(table: Adherence, asked: Mask, missing: Mask, rng: np.random.Generator) -> Measurement:
    subjects = [s for s, a in zip(table.subjects, asked, strict=True) if a]
    estimate = rate_by_subject(missing[asked].tolist(), subjects, rng)
    return Measurement(estimate=estimate, reference={"real_vs_real": 0.0})


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, 1.0),
    needs=("conditions",),
    source="Detection success rate of the VolDiT evaluation code; Clopper and Pearson 1934",
)
