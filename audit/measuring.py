"""One metric measured: its outcome as findings that can be written, and its per-case values."""

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.cache import key_of
from audit.comparability import DEFINING
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.metric import METRICS, Measurement, Metric, Outcome, missing_needs
from audit.result import Finding
from audit.run_folder import join_cases

if TYPE_CHECKING:
    import pandas as pd


def measure(name: str, comparison: Comparison) -> tuple[list[Finding], "pd.DataFrame | None"]:
    """Run one metric.

    Returns:
        Its findings, one a variant, and its per-case values or None.
    """
    metric: Metric = METRICS.load(name)
    rng = np.random.default_rng([comparison.workshop.seed, zlib.crc32(name.encode())])
    missing = missing_needs(metric, comparison)
    outcome: Outcome | Mapping[str, Outcome]
    if missing:
        outcome = NotComputable(missing)
    else:
        try:
            with comparison.workshop.ledger.phase(f"audit.{name.split('.')[0]}"):
                outcome = metric.compute(comparison, rng)
        except NotComputable as error:
            outcome = error
    variants = outcome if isinstance(outcome, Mapping) else {"": outcome}
    findings = [
        _finding(f"{name}[{variant}]" if variant else name, metric, one, comparison)
        for variant, one in variants.items()
    ]
    return findings, _case_values(variants.values())


def _finding(label: str, metric: Metric, outcome: Outcome, comparison: Comparison) -> Finding:
    shared: dict[str, Any] = {"metric": label, "unit": metric.unit, "better": metric.better}
    if isinstance(outcome, NotComputable):
        return Finding(**shared, status="not_computable", reason=outcome.reason)
    estimate = outcome.estimate
    return Finding(
        **shared,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        n=estimate.n,
        method=estimate.method,
        reference={k: _plain(v) for k, v in outcome.reference.items()},
        p_value=_plain(outcome.p_value),
        params=_plain({**outcome.params, "version": metric.version}),
        series={k: _plain(list(v)) for k, v in outcome.series.items()},
        comparability=_comparability(label, metric, outcome.params, comparison),
    )


def _comparability(
    label: str, metric: Metric, params: Mapping[str, Any], comparison: Comparison
) -> str:
    """Key of all that two numbers must share; a cost depends on no cohort and on no grid."""
    measured_on: dict[str, Any] = {}
    if "ledger" not in metric.needs:
        measured_on = {
            "preprocessing": comparison.preprocessing.as_params(),
            "n": [len(comparison.holdout), len(comparison.synthetic)],
            "holdout": comparison.holdout.hash,
            "conditions": comparison.conditions.hash if comparison.conditions else None,
        }
    return key_of(
        metric=label,
        version=metric.version,
        params=_comparable(params),
        **_profile(comparison),
        **measured_on,
    )[:16]


def _profile(comparison: Comparison) -> dict[str, Any]:
    """The profile of the configuration, where one was applied."""
    profile = comparison.options.get("profile")
    return {"profile": profile} if profile else {}


def _comparable(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that define a number; what merely describes this run's fit is left out."""
    return {k: v for k, v in params.items() if k in DEFINING}


def _case_values(outcomes: Iterable[Outcome]) -> "pd.DataFrame | None":
    tables = [o.cases for o in outcomes if isinstance(o, Measurement) and o.cases is not None]
    return join_cases(tables) if tables else None


def _plain(value: Any) -> Any:
    """Numpy values as plain Python, so that they can be written as JSON."""
    return json.loads(json.dumps(value, default=_numpy_to_plain))


def _numpy_to_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)
