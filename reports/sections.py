"""What the sections of a report say: tables, sentences, limits, provenance, checklist."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from audit.result import AuditResult, Finding, Verdict
from reports import bars, words
from reports.closest import closest_pairs, worst_masks
from reports.figures import pictures_of
from reports.headline import adjusted, contradicted, leading, of_distributions, verdict_of
from reports.material import Material
from reports.tables import tables_of

FOLD = 12
KINDS = {
    "PASSED": "good", "HELD": "good", "IMPROVED": "good", "SUSPECT": "open", "UNDERPOWERED": "open",
    "NOT_COMPARABLE": "open", "FAILED": "bad", "REGRESSED": "bad", "ERROR": "bad",
}  # fmt: skip
SEVERITY = {"bad": 0, "open": 1, "good": 2}


def section(name: str, material: Material) -> dict[str, Any]:
    """Values of one section for the template."""
    findings = material.findings(name)
    done = [f for f in findings if f.status == "ok"]
    return {
        "anchor": name,
        "title": words.section_title(name),
        "question": words.section_question(name),
        "rows": _rows(sorted(done, key=words.rank)),
        "fold": FOLD,
        "notes": segmenter_notes(done),
        "tables": tables_of(name, material),
        "pictures": pictures_of(name, material),
        "pairs": closest_pairs(material) if name == "memorization" else [],
        "pairs_shown": bool(material.pairs),
        "worst": worst_masks(material) if name == "adherence" else [],
        "masks_shown": bool(material.requested),
        "missing": missing(findings),
        "ceiling": name in words.SEGMENTED and any("ceiling" in f.reference for f in done),
    }


def missing(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """What is not computed, by reason: one reason that holds for many is said once."""
    by_reason: dict[str, list[str]] = {}
    for finding in findings:
        if finding.status != "ok":
            by_reason.setdefault(finding.reason, []).append(words.label(finding))
    return [
        {"name": "; ".join(names), "n": len(names), "reason": reason}
        for reason, names in by_reason.items()
    ]


def tiles(result: AuditResult) -> list[dict[str, str]]:
    """One tile a question: its leading number with interval and floor."""
    found = []
    for name in words.section_names(result):
        finding = leading(name, result)
        if finding is not None:
            found.append(
                {
                    "anchor": name,
                    "section": words.section_title(name),
                    "value": words.number(finding.value),
                    "unit": finding.unit,
                    "what": words.label(finding) + ", difference" * of_distributions(finding),
                    "interval": words.interval(finding),
                    "floor": words.floor_text(finding).split("; ")[0],
                    "verdict": _tile_verdict(finding, result),
                }
            )
    return found


def _tile_verdict(finding: Finding, result: AuditResult) -> str:
    but = contradicted(finding, result).split(", ")[0]
    return "; ".join(part for part in [verdict_of(finding), but and f"but {but}"] if part)


def segmenter_notes(findings: Sequence[Finding]) -> list[str]:
    """What turned images into labels, and how wrong it is on real cases it never saw."""
    about = next((f.params for f in findings if isinstance(f.params.get("segmenter"), str)), None)
    if about is None:
        return []
    source = {
        "given": "came with the cases",
        "network": "were made by a given network",
        "built-in": "were made by the built-in segmenter, trained on the labeled training cases",
    }.get(about["segmenter"], about["segmenter"])
    details = about.get("segmenter_params", {})
    error = details.get("error", details) if isinstance(details, dict) else {}
    dice = error.get("dice", {}) if isinstance(error, dict) else {}
    scores = ", ".join(
        f"{words.human(name)} {words.number(one.get('value'))}"
        for name, one in dice.items()
        if isinstance(one, dict)
    )
    sentence = f"Labels of the synthetic cases {source}."
    if scores:
        sentence += f" Its own Dice on held-out real cases: {scores}."
    bias = error.get("ef_bias") if isinstance(error, dict) else None
    if isinstance(bias, dict):
        points = words.number(bias.get("value"))
        sentence += f" Its LV ejection fractions are off by {points} points on average."
    return [sentence]


def verdict_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Rows of the gates table."""
    return [
        {
            "kind": KINDS[v.verdict],
            "word": v.verdict.replace("_", " "),
            "advisory": v.severity == "warn",
            "name": words.human(v.metric.split("[")[0].split(".", 1)[-1]),
            "metric": v.metric,
            "gate": v.gate,
            "numbers": _verdict_numbers(v),
            "message": v.message,
            "bar": Markup(bars.verdict_bar(v)),
        }
        for v in sorted(verdicts, key=lambda v: SEVERITY[KINDS[v.verdict]])
    ]


def limits(material: Material, reduced: Sequence[str]) -> list[str]:
    """What is not shown, could not be computed or decided, and why."""
    result = material.result
    found = list(reduced)
    if result.status != "ok":
        found.append(f"The run is {result.status}, not finished: numbers are missing.")
    if not material.real and material.synthetic:
        found.append("Images of real patients, and their nearest pairs, are left out on purpose.")
    found += [f"A metric failed with an error: {name}." for name in material.errors]
    found += [f"Gates: {note}." for note in material.gate_notes]
    found += [
        f"The gate on {v.metric} did not decide: {v.message}."
        for v in result.verdicts
        if v.verdict in ("UNDERPOWERED", "NOT_COMPARABLE")
    ]
    found += [f"{words.label(f)} has {words.interval(f)}." for f in result.findings
              if f.status == "ok" and f.low is None]  # fmt: skip
    for role, cohort in result.cohorts.items():
        found += [f"{role}: {note}" for note in cohort.notes]
    found.append(
        "Numbers of different feature networks are not comparable with each other, nor with "
        "papers that used other weights, sizes or sample sizes."
    )
    return found


def not_computed(material: Material) -> list[str]:
    """Every number that could not be computed, by section and reason."""
    return [
        f"{words.section_title(name)}: {row['name']}: {row['reason']}"
        for name in words.section_names(material.result)
        for row in missing(material.findings(name))
    ]


def _rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "name": words.label(f),
            "metric": f.metric,
            "value": words.number(f.value),
            "unit": f.unit,
            "interval": words.interval(f),
            "bar": Markup(bars.finding_bar(f)),
            "floor": words.floor_text(f),
            "test": _test(f),
            "better": words.ARROWS[f.better],
            "n": f.n,
        }
        for f in findings
    ]


def _test(finding: Finding) -> str:
    parts = [f"p = {words.number(finding.p_value, 2)}"] if finding.p_value is not None else []
    return "; ".join(part for part in [*parts, adjusted(finding), verdict_of(finding)] if part)


def _verdict_numbers(verdict: Verdict) -> str:
    if verdict.baseline is None:
        return ""
    margin = f", margin {words.number(verdict.margin)}" if verdict.margin is not None else ""
    return f"baseline {words.number(verdict.baseline)}{margin}"
