"""Measure every metric and record what came out: the only orchestrator of metrics.

Each metric's findings are written as soon as they exist. Calling again with the same inputs reads
what is there and computes the rest.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit import run_folder
from audit.cache import key_of
from audit.comparison import Comparison
from audit.errors import BadInput, RunBroken
from audit.ledger import Ledger
from audit.measuring import measure
from audit.metric import METRICS
from audit.multiplicity import with_adjusted_p_values
from audit.opening import CohortLike, build_comparison, open_cohort
from audit.progress import is_first_process, say
from audit.provenance import describe_cohort, package_versions, provenance_of
from audit.result import AuditResult, Finding, write_result

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_comparison", "measure", "open_cohort", "score"]


def score(
    *,
    train: CohortLike,
    holdout: CohortLike,
    synthetic: CohortLike,
    conditions: CohortLike | None = None,
    only: Sequence[str] = (),
    seed: int = 0,
    out: str | Path | None = None,
    name: str = "",
    **settings: Any,
) -> AuditResult:
    """Audit a synthetic cohort against the real one it should resemble and not copy.

    Args:
        train: Real cases the generator learned from: a Cohort, a folder or a manifest.
        holdout: Real cases it never saw, of other subjects.
        synthetic: What it made.
        conditions: Masks that the synthetic cases were asked to follow.
        only: Globs of metrics to run; empty runs every default metric.
        seed: Seed of everything random.
        out: Run folder; None keeps the result in memory.
        name: What is audited, for the report.
        **settings: Further arguments of ``build_comparison``.

    Raises:
        BadInput: A cohort cannot be read, or train and holdout share subjects.
        RunBroken: A metric failed; the others' findings are kept.
    """
    folder = Path(out) if out is not None else None
    if folder is not None and is_first_process():
        run_folder.prepare(folder)
    ledger = settings["ledger"] = settings.get("ledger") or Ledger()
    with ledger.phase("audit.reading"):
        comparison = build_comparison(
            train=train,
            holdout=holdout,
            synthetic=synthetic,
            conditions=conditions,
            seed=seed,
            folder=folder,
            **settings,
        )
        names = _metric_names(only)
        result = AuditResult(
            name=name,
            provenance=provenance_of(comparison),
            cohorts={
                role: describe_cohort(cohort)
                for role in ("train", "holdout", "synthetic", "conditions")
                if len(cohort := comparison.cohort_or_empty(role))
            },
        )
    return _measure_all(names, comparison, result, folder)


def _measure_all(
    names: Sequence[str], comparison: Comparison, result: AuditResult, folder: Path | None
) -> AuditResult:
    inputs, kept = _inputs_key(comparison), _to_write(folder)
    findings: list[Finding] = []
    tables: list[pd.DataFrame] = []
    broken: list[str] = []
    for position, name in enumerate(names, start=1):
        say(f"[{position}/{len(names)}] {name}")
        measured, cases = _measured_or_stored(name, comparison, inputs, folder, broken)
        findings.extend(measured)
        tables.extend([cases] if cases is not None else [])
        result = result.model_copy(update={"findings": tuple(findings)})
        if kept is not None:
            write_result(result, kept)
    if kept is not None:
        with comparison.workshop.ledger.phase("audit.writing"):
            run_folder.write_cases(kept, tables, comparison)
            run_folder.write_exemplars(kept, comparison)
    result = result.model_copy(
        update={
            "status": "failed" if broken else "ok",
            "findings": with_adjusted_p_values(findings),
            "ledger": comparison.ledger_records(),
        }
    )
    if kept is not None:
        write_result(result, kept)
    if broken:
        raise RunBroken(
            f"{len(broken)} metrics failed ({', '.join(broken)})",
            "none",
            "The other findings are kept; see errors/ in the run folder",
        )
    return result


def _measured_or_stored(
    name: str, comparison: Comparison, inputs: str, folder: Path | None, broken: list[str]
) -> tuple[list[Finding], "pd.DataFrame | None"]:
    """Findings of a metric, from the run folder where they are; a bug adds to ``broken``."""
    metric = METRICS.load(name)
    key = key_of(metric=name, inputs=inputs, version=metric.version)
    stored = run_folder.read_part(folder, name, key)
    if stored is not None:
        return stored
    try:
        findings, cases = measure(name, comparison)
    except BadInput:
        raise
    except Exception as error:  # noqa: BLE001 - one metric's bug must not lose the others
        broken.append(name)
        run_folder.write_failure(_to_write(folder), name, traceback.format_exc())
        return [_failed(name, error)], None
    findings = [f.model_copy(update={"inputs_key": key}) for f in findings]
    if "ledger" not in metric.needs:
        run_folder.write_part(_to_write(folder), name, key, findings, cases)
    return findings, cases


def _to_write(folder: Path | None) -> Path | None:
    """The run folder; none for all but the first process of ``torchrun``, which share the work."""
    return folder if is_first_process() else None


def _failed(name: str, error: Exception) -> Finding:
    return Finding(
        metric=name,
        status="not_computable",
        reason=f"failed with {type(error).__name__}; the traceback is in errors/{name}.txt.",
    )


def _metric_names(only: Sequence[str]) -> list[str]:
    """Metrics to run; those that read the ledger come last."""
    names = (
        METRICS.match(tuple(only))
        if only
        else [n for n in METRICS.names() if METRICS.load(n).default]
    )
    return sorted(names, key=lambda n: ("ledger" in METRICS.load(n).needs, n))


def _inputs_key(comparison: Comparison) -> str:
    return key_of(
        train=comparison.train.hash,
        holdout=comparison.holdout.hash,
        synthetic=comparison.synthetic.hash,
        conditions=comparison.conditions.hash if comparison.conditions else None,
        preprocessing=comparison.preprocessing.as_params(),
        seed=comparison.workshop.seed,
        extractors=list(comparison.extractor_names),
        weights=sorted(map(str, comparison.workshop.weights.items())),
        options=comparison.options,
        generator=_identity(comparison.generator),
        versions=package_versions(),
    )


def _identity(generator: Any) -> str:
    """What decides a generator's samples, where it says so."""
    described = getattr(generator, "identity", None)
    return str(described()) if described is not None else type(generator).__name__
