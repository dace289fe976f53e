"""Accepted baselines: reviewable JSON in git that only a person writes, with a reason.

One file holds, per metric, the values of the accepted runs (one per seed), what makes them
comparable, and the calibrated noise between runs that differ in seed only (A/A runs).
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from audit.errors import BadInput
from audit.gates.gates_file import explain, matches
from audit.result import AuditResult, Finding, Record, write_text

HISTORY = 20
LEAST_AA_RUNS = 10


class BaselineMetric(Record):
    """What was accepted for one metric.

    Attributes:
        values: One per accepted run.
        low: Lower end of the interval of the first run.
        high: Upper end.
        level: Coverage of that interval.
        method: How it was made.
        n: Subjects behind it.
        unit: Unit of the values.
        better: Direction.
        comparability: Key that a candidate must share.
        params: What the number depends on, to say what differs.
        sd_aa: Standard deviation between A/A runs; None until calibrated.
        aa_runs: A/A runs behind it.
        anchor: The first value ever accepted, so that slow drift shows.
    """

    values: tuple[float, ...] = Field(min_length=1)
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str = ""
    n: int = 0
    unit: str = ""
    better: Literal["lower", "higher", "none"] = "none"
    comparability: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    sd_aa: float | None = None
    aa_runs: int = 0
    anchor: float | None = None


class Acceptance(Record):
    """One decision to accept.

    Attributes:
        at: UTC time.
        by: Who.
        reason: Why.
        metrics: What the decision covered.
        runs: Names of the accepted runs.
        override: Whether a failing safety gate was overridden.
    """

    at: str
    by: str = ""
    reason: str
    metrics: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    override: bool = False


class Baseline(Record):
    """One baseline file."""

    schema_version: Literal[1] = 1
    name: str = ""
    metrics: dict[str, BaselineMetric] = Field(default_factory=dict)
    accepted: Acceptance | None = None
    history: tuple[Acceptance, ...] = ()

    @property
    def mean(self) -> Mapping[str, float]:
        """Mean accepted value by metric."""
        return {name: statistics.fmean(m.values) for name, m in self.metrics.items()}


def read_baseline(path: str | Path) -> Baseline:
    """Read a baseline file.

    Raises:
        BadInput: Absent or not a baseline.
    """
    file = Path(path)
    if not file.is_file():
        raise BadInput(
            f"no baseline '{file.name}'", "a JSON file", "Write one: voxaudit baseline accept"
        )
    try:
        return Baseline.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file.name} is not JSON", "a baseline file") from error
    except ValidationError as error:
        raise BadInput(
            f"{file.name}: {explain(error, Baseline)}", "a baseline file of schema 1"
        ) from error


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write with sorted keys and six significant digits, one metric a block, so diffs read well."""
    data = _rounded(baseline.model_dump(mode="json", exclude_none=True))
    write_text(path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def accept(
    runs: Sequence[AuditResult],
    *,
    reason: str,
    old: Baseline | None = None,
    patterns: Sequence[str] = ("*",),
    by: str = "",
    override_safety: bool = False,
    now: datetime | None = None,
) -> Baseline:
    """Make the next baseline from accepted runs (the same audit with other seeds).

    Args:
        runs: One or more results.
        reason: Why these numbers are fine; a reviewer reads it.
        old: The baseline so far; its other metrics, calibration and anchors stay.
        patterns: Which metrics to accept.
        by: Who accepts.
        override_safety: Accept although an absolute gate fails; recorded.
        now: Time of acceptance.

    Raises:
        BadInput: No reason, a broken or smoke run, a failing absolute gate, or nothing to accept.
    """
    _refuse(runs, reason, override_safety=override_safety)
    old = old or Baseline(name=runs[0].name)
    chosen = _values_by_metric(runs, patterns)
    if not chosen:
        raise BadInput(f"no computed metric matches {', '.join(patterns)}", "at least one")
    metrics = dict(old.metrics)
    for name, findings in chosen.items():
        metrics[name] = _entry(findings, metrics.get(name))
    decision = Acceptance(
        at=(now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        by=by,
        reason=reason,
        metrics=tuple(sorted(chosen)),
        runs=tuple(run.name for run in runs),
        override=override_safety,
    )
    history = (*old.history, decision)[-HISTORY:]
    return old.model_copy(update={"metrics": metrics, "accepted": decision, "history": history})


def calibrate(baseline: Baseline, runs: Sequence[AuditResult]) -> Baseline:
    """Add the noise between A/A runs: same generator, same data, other seeds.

    Raises:
        BadInput: Fewer than ten runs, or no metric with ten comparable values.
    """
    if len(runs) < LEAST_AA_RUNS:
        raise BadInput(
            f"got {len(runs)} A/A runs", f"at least {LEAST_AA_RUNS}", "Run with further seeds"
        )
    metrics = dict(baseline.metrics)
    done = 0
    for name, entry in baseline.metrics.items():
        findings = _values_by_metric(runs, (name,)).get(name, [])
        values = [f.value for f in findings if f.value is not None]
        alike = {f.comparability for f in findings} == {entry.comparability}
        if len(values) >= LEAST_AA_RUNS and alike:
            done += 1
            metrics[name] = entry.model_copy(
                update={"sd_aa": statistics.stdev(values), "aa_runs": len(values)}
            )
    if not done:
        raise BadInput(
            "no metric of the baseline has ten comparable values in these runs",
            "A/A runs with the settings of the accepted run",
        )
    return baseline.model_copy(update={"metrics": metrics})


def drift_rows(baseline: Baseline) -> list[dict[str, Any]]:
    """One row a metric: mean, noise, automatic margin, and drift from the first accepted value."""
    rows = []
    for name, entry in sorted(baseline.metrics.items()):
        mean = baseline.mean[name]
        rows.append(
            {
                "metric": name,
                "value": mean,
                "unit": entry.unit,
                "better": entry.better,
                "runs": len(entry.values),
                "sd_aa": entry.sd_aa,
                "margin": 3 * entry.sd_aa if entry.sd_aa else None,
                "anchor": entry.anchor,
                "drift": mean - entry.anchor if entry.anchor is not None else None,
            }
        )
    return rows


def _refuse(runs: Sequence[AuditResult], reason: str, *, override_safety: bool) -> None:
    if len(reason.strip()) < 3:
        raise BadInput("no reason was given", "a sentence that a reviewer can judge", "--reason")
    for run in runs:
        if run.status != "ok":
            raise BadInput(f"run '{run.name}' is {run.status}", "a finished run")
        if run.provenance.get("profile") == "smoke":
            raise BadInput(f"run '{run.name}' has profile smoke", "a full-size run")
        if run.provenance.get("git_dirty"):
            raise BadInput(f"run '{run.name}' came from a changed work tree", "a committed one")
        failing = [
            v.metric for v in run.verdicts if v.verdict == "FAILED" and v.severity == "block"
        ]
        if failing and not override_safety:
            raise BadInput(
                f"run '{run.name}' fails the absolute gate on {', '.join(failing)}",
                "a run that passes",
                "Fix it, or say --override-safety, which is recorded",
            )


def _values_by_metric(
    runs: Sequence[AuditResult], patterns: Sequence[str]
) -> dict[str, list[Finding]]:
    chosen: dict[str, list[Finding]] = {}
    for run in runs:
        for finding in run.findings:
            wanted = any(matches(pattern, finding.metric) for pattern in patterns)
            if wanted and finding.status == "ok" and finding.better != "none":
                chosen.setdefault(finding.metric, []).append(finding)
    return chosen


def _entry(findings: list[Finding], old: BaselineMetric | None) -> BaselineMetric:
    first = findings[0]
    keys = {f.comparability for f in findings}
    if len(keys) > 1:
        raise BadInput(
            f"the runs are not comparable on {first.metric}", "the same audit with other seeds"
        )
    values = tuple(f.value for f in findings if f.value is not None)
    same = old is not None and old.comparability == first.comparability
    return BaselineMetric(
        values=values,
        low=first.low,
        high=first.high,
        level=first.level,
        method=first.method,
        n=first.n,
        unit=first.unit,
        better=first.better,
        comparability=first.comparability,
        params={k: v for k, v in first.params.items() if isinstance(v, str | int | float | bool)},
        sd_aa=old.sd_aa if old and same else None,
        aa_runs=old.aa_runs if old and same else 0,
        anchor=old.anchor if old and same and old.anchor is not None else values[0],
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
