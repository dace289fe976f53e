"""One gate against the accepted baseline: which interval of harm applies, and its verdict."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from audit.baseline import Baseline, BaselineMetric
from audit.comparability import differing_params
from audit.errors import BadInput
from audit.gates.energy import MARGIN, harm_by_runs, is_energy
from audit.gates.gates_file import Gate, GatesFile, margin_of
from audit.gates.noninferiority import Harm, harm_by_intervals, harm_by_replicates, sign, word
from audit.result import AuditResult, Finding

Word = Literal[
    "IMPROVED", "HELD", "SUSPECT", "REGRESSED", "UNDERPOWERED", "NOT_COMPARABLE", "ERROR"
]


@dataclass(frozen=True, kw_only=True)
class Change:
    """Verdict of a comparison with the numbers it rests on."""

    verdict: Word
    message: str
    numbers: dict[str, Any] = field(default_factory=dict)


def judge_change(
    gate: Gate,
    gates: GatesFile,
    finding: Finding,
    baseline: Baseline | None,
    replicates: Sequence[AuditResult],
) -> Change:
    """Compare a finding, with its replicates, with what was accepted."""
    old = baseline.metrics.get(finding.metric) if baseline is not None else None
    obstacle = _obstacle(finding, old)
    if obstacle or old is None:
        return Change(verdict="NOT_COMPARABLE", message=obstacle or "no baseline")
    if finding.better == "none":
        raise BadInput(
            f"a gate compares {finding.metric}, which has no better direction",
            "a metric with one",
            "Use min or max",
        )
    values = _values(finding, replicates)
    before = statistics.fmean(old.values)
    wanted = gates.setting(gate, "margin")
    if wanted == "auto" and is_energy(finding):
        wanted = MARGIN
    margin = margin_of(wanted, baseline=before, sd_aa=old.sd_aa)
    numbers: dict[str, Any] = {"baseline": before, "value": statistics.fmean(values)}
    if margin is None:
        return Change(
            verdict="UNDERPOWERED",
            message="margin auto needs the noise between A/A runs; "
            "run voxaudit baseline calibrate, or give a margin",
            numbers=numbers,
        )
    numbers["margin"] = margin
    confidence = gates.setting(gate, "confidence")
    harm = _harm(finding, old, values, confidence, gates.setting(gate, "min_replicates"))
    if isinstance(harm, str):
        return Change(verdict="UNDERPOWERED", message=harm, numbers=numbers)
    # The interval drawn beside the margin is that of the change, moved to the baseline.
    turn = sign(finding.better)
    ends = sorted((before + turn * harm.low, before + turn * harm.high))
    numbers |= {"low": ends[0], "high": ends[1], "threshold": before + turn * margin}
    message = (
        f"{numbers['value']:.4g} against {before:.4g}: harm {harm.value:+.3g} "
        f"[{harm.low:+.3g}, {harm.high:+.3g}] ({confidence:.0%}, {harm.method}), "
        f"margin {margin:.3g}"
    )
    return Change(verdict=word(harm, margin), message=message, numbers=numbers)


def _obstacle(finding: Finding, old: BaselineMetric | None) -> str:
    if old is None:
        return "the baseline does not hold this metric; accept one: voxaudit baseline accept"
    if finding.comparability and finding.comparability == old.comparability:
        return ""
    # A baseline keeps plain values only.
    plain = {k: v for k, v in finding.params.items() if isinstance(v, str | int | float | bool)}
    differing = differing_params(old.params, plain)
    if old.n != finding.n:
        differing.append(f"n {old.n} → {finding.n}")
    what = "; ".join(differing) or (
        "hold-out, requested masks, preprocessing or profile; the baseline does not hold which"
    )
    return f"not comparable with the baseline: {what}"


def _values(finding: Finding, replicates: Sequence[AuditResult]) -> list[float]:
    values = [] if finding.value is None else [finding.value]
    for run in replicates:
        for other in run.findings:
            alike = other.comparability == finding.comparability
            if other.metric == finding.metric and alike and other.value is not None:
                values.append(other.value)
    return values


def _harm(
    finding: Finding,
    old: BaselineMetric,
    values: list[float],
    confidence: float,
    min_replicates: int,
) -> Harm | str:
    """The interval of harm, or the sentence that says why there is none."""
    if is_energy(finding):
        return harm_by_runs(old.values, values, confidence)
    if old.sd_aa:
        fewest = min(len(values), len(old.values))
        if fewest < min_replicates:
            return (
                f"{len(values)} candidate and {len(old.values)} baseline runs, "
                f"the gate asks for {min_replicates} of each (--replicate RUN)"
            )
        return harm_by_replicates(
            list(old.values), values, sd_aa=old.sd_aa, better=finding.better, confidence=confidence
        )
    ends = (old.low, old.high, finding.low, finding.high)
    if any(end is None for end in ends) or finding.value is None:
        return "one of the two numbers has no interval, and no A/A noise is calibrated"
    return harm_by_intervals(
        (old.values[0], *ends[:2]),  # type: ignore[arg-type]
        (finding.value, *ends[2:]),  # type: ignore[arg-type]
        levels=(old.level or 0.95, finding.level or 0.95),
        better=finding.better,
        confidence=confidence,
    )
