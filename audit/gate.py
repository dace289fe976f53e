"""Verdicts on a result: thresholds on the right end of the interval, and change against a baseline.

Fails closed: a number that is missing, not computable, not comparable or too uncertain never
passes. One function computes the verdicts; the printers and the exit code read them.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from audit.baseline import Baseline
from audit.errors import BadInput, did_you_mean
from audit.gates.change import judge_change
from audit.gates.energy import is_energy, no_measurement, with_cost_gates
from audit.gates.gates_file import PACKAGED_GATES, Gate, GatesFile, Ignore, matches
from audit.result import AuditResult, Finding, Verdict, write_result, write_text

__all__ = ["Decision", "judge", "matches", "record", "smallest_n", "smallest_rate"]

EXIT_CODES = {"FAILED": 1, "REGRESSED": 1, "ERROR": 4, "UNDERPOWERED": 3, "NOT_COMPARABLE": 3}
PRECEDENCE = (2, 1, 4, 3, 0)
WORST_FIRST = (
    "FAILED", "REGRESSED", "ERROR", "NOT_COMPARABLE", "UNDERPOWERED", "SUSPECT", "HELD", "PASSED",
    "IMPROVED",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decision:
    """All verdicts of one judgment, worst first.

    Attributes:
        verdicts: One per gate and finding.
        exit_code: 0 passed, 1 failed, 3 no decision, 4 run broken.
        notes: Sentences to print, such as ignores in force and expired ones.
    """

    verdicts: tuple[Verdict, ...]
    exit_code: int
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """One line: the outcome and how many verdicts of each kind."""
        outcome = {0: "PASS", 1: "FAIL", 3: "NO DECISION", 4: "BROKEN"}[self.exit_code]
        counts = Counter(str(v.verdict) for v in self.verdicts)
        parts = [f"{counts[w]} {w.lower().replace('_', ' ')}" for w in WORST_FIRST if counts[w]]
        return " · ".join([outcome, *parts])


def judge(
    result: AuditResult,
    *,
    gates: GatesFile = PACKAGED_GATES,
    baseline: Baseline | None = None,
    replicates: Sequence[AuditResult] = (),
    strict: bool = False,
    allow_no_decision: bool = False,
    today: date | None = None,
) -> Decision:
    """Judge a result against every gate, and its cost against a baseline that holds cost.

    Args:
        result: What was measured.
        gates: What it must satisfy.
        baseline: Accepted values, for gates with ``vs: baseline``.
        replicates: The same audit with other seeds, for comparisons.
        strict: SUSPECT blocks too.
        allow_no_decision: Undecided gates do not change the exit code.
        today: Date that ends ignores.

    Raises:
        BadInput: A gate names a metric that does not exist.
    """
    today = today or datetime.now(UTC).date()
    verdicts: list[Verdict] = []
    for gate in with_cost_gates(gates, baseline):
        for finding, name in _selected(gate, result):
            verdict = _judge_one(gate, gates, finding, name, baseline, replicates)
            verdicts.append(_ignored(verdict, gates.ignore, today))
    if result.status != "ok":
        verdicts.append(
            Verdict(
                gate="run",
                metric="run",
                verdict="ERROR",
                message=f"the run is {result.status}, not finished; its numbers are incomplete",
            )
        )
    order = {word: i for i, word in enumerate(WORST_FIRST)}
    verdicts.sort(key=lambda v: (order[v.verdict], v.severity, v.metric, v.gate))
    return Decision(
        verdicts=tuple(verdicts),
        exit_code=exit_code(verdicts, strict=strict, allow_no_decision=allow_no_decision),
        notes=tuple(_notes(gates.ignore, today)),
    )


def exit_code(
    verdicts: Sequence[Verdict], *, strict: bool = False, allow_no_decision: bool = False
) -> int:
    """The code of the worst blocking verdict, by precedence 1 > 4 > 3 > 0 (2 is bad input)."""
    codes = {0}
    for verdict in verdicts:
        if verdict.severity == "block":
            code = EXIT_CODES.get(verdict.verdict, 0)
            code = 1 if strict and verdict.verdict == "SUSPECT" else code
            codes.add(0 if code == 3 and allow_no_decision else code)
    return next(code for code in PRECEDENCE if code in codes)


def record(decision: Decision, result: AuditResult, folder: Path) -> AuditResult:
    """Write verdicts into result.json and gate.json, each atomically; return the new result."""
    import json

    judged = result.model_copy(update={"verdicts": decision.verdicts})
    write_result(judged, folder)
    data = {
        "schema_version": 1,
        "exit_code": decision.exit_code,
        "headline": decision.headline,
        "verdicts": [v.model_dump() for v in decision.verdicts],
        "notes": list(decision.notes),
    }
    write_text(folder / "gate.json", json.dumps(data, indent=1))
    return judged


def smallest_rate(n: int, confidence: float = 0.95) -> float:
    """Upper bound of a rate with no event in n: the smallest rate that n volumes can exclude."""
    return float(1 - (1 - confidence) ** (1 / n))


def smallest_n(rate: float, confidence: float = 0.95) -> int:
    """Volumes without a single event that it takes to show that a rate lies below ``rate``."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))


def power_notes(gates: GatesFile, n: int) -> list[str]:
    """What n synthetic volumes cannot show, one sentence a gate; for planning a run."""
    return [
        f"{gate.metric} {gate.text} cannot be shown with {n} volumes "
        f"(they exclude rates above {smallest_rate(n):.2g}); it takes {smallest_n(gate.max)}"
        for gate in gates.gates
        if gate.max is not None
        and 0 < gate.max < 1
        and gate.metric.endswith("_rate")
        and smallest_rate(n) > gate.max
    ]


def _selected(gate: Gate, result: AuditResult) -> list[tuple[Finding | None, str]]:
    found = [f for f in result.findings if matches(gate.metric, f.metric)]
    if found:
        return [(f, f.metric) for f in found]
    from audit.metric import METRICS

    known = METRICS.names()
    if not any(matches(gate.metric.partition("[")[0], name) for name in known):
        raise BadInput(
            f"a gate names '{gate.metric}', which no audit measures",
            did_you_mean(gate.metric, {*known, *(f.metric for f in result.findings)}),
        )
    return [(None, gate.metric)]


def _judge_one(
    gate: Gate,
    gates: GatesFile,
    finding: Finding | None,
    name: str,
    baseline: Baseline | None,
    replicates: Sequence[AuditResult],
) -> Verdict:
    shared: dict[str, Any] = {
        "gate": gate.text,
        "metric": name,
        "severity": gates.setting(gate, "severity"),
    }
    if finding is None or finding.status != "ok" or finding.value is None:
        why = finding.reason if finding is not None else "this run did not measure it"
        fails = gates.setting(gate, "on_missing") == "fail"
        message = f"no number: {why.rstrip('.')}. A missing number never passes"
        return Verdict(**shared, verdict="FAILED" if fails else "UNDERPOWERED", message=message)
    shared |= {"value": finding.value, "low": finding.low, "high": finding.high}
    shared["threshold"] = gate.max if gate.max is not None else gate.min
    if is_energy(finding) and (why := no_measurement(finding)):
        return _underpowered(gate, gates, shared, why)
    least = gates.setting(gate, "min_n")
    if finding.n < least:
        return _underpowered(gate, gates, shared, f"n = {finding.n}, the gate asks for {least}")
    if gate.vs:
        change = judge_change(gate, gates, finding, baseline, replicates)
        if change.verdict == "UNDERPOWERED":
            return _underpowered(gate, gates, shared | change.numbers, change.message)
        return Verdict(**shared | change.numbers, verdict=change.verdict, message=change.message)
    return _threshold(gate, gates, finding, shared)


def _threshold(gate: Gate, gates: GatesFile, finding: Finding, shared: dict[str, Any]) -> Verdict:
    limit = shared["threshold"]
    bound, how = bound_of(finding, gate.judged)
    if bound is None:
        return _underpowered(gate, gates, shared, f"there is no {how}: {finding.method}")
    inside = bound <= limit if gate.max is not None else bound >= limit
    comparison = {True: {True: "≤", False: ">"}, False: {True: "≥", False: "<"}}
    message = f"{how} {bound:.4g} {comparison[gate.max is not None][inside]} {limit:g}"
    best = _best_possible(finding, gate)
    if not inside and best is not None and best > limit and finding.value <= limit:
        return _underpowered(
            gate,
            gates,
            shared,
            f"{message}; with n = {finding.n} even no event at all leaves {best:.2g}, "
            f"it takes n ≥ {smallest_n(limit)}",
        )
    return Verdict(**shared, verdict="PASSED" if inside else "FAILED", message=message)


def bound_of(finding: Finding, which: str) -> tuple[float | None, str]:
    """One end of a finding's interval and what to call it.

    ``upper95`` and ``lower95`` are one-sided 95 % bounds: exact for proportions, else the end of a
    two-sided interval of at least 90 %, which can only be stricter.
    """
    level = finding.level or 0.95
    if which == "value":
        return finding.value, "the value"
    if which in ("low", "high"):
        end = "lower" if which == "low" else "upper"
        return getattr(finding, which), f"{end} end of the {level:.0%} interval"
    upper = which == "upper95"
    name = f"one-sided 95 % {'upper' if upper else 'lower'} bound"
    if finding.method.startswith("Clopper-Pearson") and finding.value is not None:
        from audit.estimate import proportion

        exact = proportion(round(finding.value * finding.n), finding.n, level=0.90)
        return (exact.high if upper else exact.low), name
    if level < 0.90:
        return None, name
    return (finding.high if upper else finding.low), f"{name} (end of the {level:.0%} interval)"


def _best_possible(finding: Finding, gate: Gate) -> float | None:
    """The bound that this n would give without a single event; None where it is not a rate."""
    if gate.max is None or not finding.method.startswith("Clopper-Pearson"):
        return None
    confidence = 0.95 if gate.judged == "upper95" else 1 - (1 - (finding.level or 0.95)) / 2
    return smallest_rate(finding.n, confidence) if gate.judged in ("high", "upper95") else None


def _underpowered(gate: Gate, gates: GatesFile, shared: dict[str, Any], message: str) -> Verdict:
    choice = gates.setting(gate, "on_underpowered")
    word: Any = {"no_decision": "UNDERPOWERED", "fail": "FAILED", "pass": "SUSPECT"}[choice]
    return Verdict(**shared, verdict=word, message=f"cannot tell: {message}")


def _ignored(verdict: Verdict, ignores: Sequence[Ignore], today: date) -> Verdict:
    for ignore in ignores:
        if today <= ignore.until and matches(ignore.metric, verdict.metric):
            note = f"{verdict.message} (ignored until {ignore.until}: {ignore.reason})"
            return verdict.model_copy(update={"severity": "warn", "message": note})
    return verdict


def _notes(ignores: Sequence[Ignore], today: date) -> list[str]:
    return [
        f"{'expired ignore' if today > i.until else 'ignore'} on {i.metric} "
        f"({'ended' if today > i.until else 'until'} {i.until}"
        f"{', by ' + i.by if i.by else ''}): {i.reason}"
        for i in ignores
    ]
