"""A data sheet for the synthetic cohort: what was measured, and what nobody has said yet."""

import json

from audit.result import AuditResult, Finding
from reports import words
from reports.markdown import escape

BLANK = "_to be filled in by a person_"


def render_card(result: AuditResult) -> str:
    """Markdown with the metadata block that model hubs read, then the sheet.

    Open questions stay open: the card never fills in intended use, consent or approval.
    """
    parts = [
        _front_matter(result),
        f"# Data sheet: {escape(result.name or 'synthetic cohort')}\n",
        "A cohort of **synthetic** medical images, audited with voxaudit. Synthetic does not mean "
        "anonymous: read the section on memorization before passing it on.\n",
        _cohorts(result),
        "## Intended use\n\n" + BLANK + "\n\n## Out of scope\n\n"
        "Diagnosis, and any decision about a patient. Further uses out of scope: " + BLANK + "\n",
        _findings(result),
        _verdicts(result),
        _footprint(result),
        "## Source data, consent and approval\n\n" + BLANK + "\n",
        _limits(result),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(result: AuditResult) -> str:
    name = json.dumps(escape(result.name or "synthetic cohort"))
    grams = [f for f in result.findings if f.section == "footprint" and "g" in f.unit.split()]
    lines = ["---", f"pretty_name: {name}", "tags: [synthetic, medical-imaging, voxaudit]"]
    if grams and grams[0].value is not None:
        lines += ["co2_eq_emissions:", f"  emissions: {grams[0].value:.6g}", "  unit: g"]
    return "\n".join([*lines, "---", ""])


def _cohorts(result: AuditResult) -> str:
    rows = [
        f"| {role} | {c.n} | {c.n_subjects} | {c.shape} | {c.spacing_mm or 'unknown'} |"
        for role, c in result.cohorts.items()
    ]
    head = "| cohort | cases | subjects | shape (c, t, z, y, x) | spacing (mm) |\n"
    head += "|---|---|---|---|---|\n"
    return "## Cohorts\n\n" + head + "\n".join(rows) + "\n" if rows else ""


def _findings(result: AuditResult) -> str:
    parts = ["## What was measured\n"]
    for name in words.section_names(result):
        rows = [_row(f) for f in result.findings if f.section == name and f.status == "ok"]
        if rows:
            title = escape(words.section_title(name))
            parts.append(f"### {title}\n\n{words.section_question(name)}\n")
            parts.append(
                "| metric | value | interval | read it against | n |\n|---|---|---|---|---|"
            )
            parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(f: Finding) -> str:
    return (
        f"| `{escape(f.metric)}` | {words.number(f.value)} {escape(f.unit)} | "
        f"{escape(words.interval(f))} | {escape(words.floor_text(f))} | {f.n} |"
    )


def _verdicts(result: AuditResult) -> str:
    if not result.verdicts:
        return "## Gates\n\nNone was run.\n"
    rows = [f"- {v.verdict}: `{escape(v.metric)}` {escape(v.message)}" for v in result.verdicts]
    return "## Gates\n\n" + "\n".join(rows) + "\n"


def _footprint(result: AuditResult) -> str:
    if not result.ledger:
        return ""
    rows = []
    for p in result.ledger:
        known = [v for v in p.energy_kwh.values() if v is not None]
        energy = f"{words.number(sum(known))} kWh" if known else "not metered"
        rows.append(f"| {p.phase} | {words.number(p.duration_s)} s | {energy} |")
    return "## Energy\n\n| phase | time | energy |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _limits(result: AuditResult) -> str:
    missing = [f"- `{escape(f.metric)}`: {escape(f.reason)}" for f in result.findings
               if f.status != "ok"]  # fmt: skip
    return "## Not computed\n\n" + "\n".join(missing) + "\n" if missing else ""
