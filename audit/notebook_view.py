"""A result in a notebook: static HTML without scripts, the verdicts first."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.result import AuditResult

NUMBERS = ["metric", "value", "low", "high", "unit", "n", "real_vs_real", "p_value"]


def html_of(result: "AuditResult") -> str:
    """Verdicts, numbers beside their real-against-real floor, and what is missing, folded."""
    sizes = ", ".join(f"{c.n} {role}" for role, c in result.cohorts.items())
    parts = [f"<p><b>{escape(result.name or 'Audit')}</b> {escape(sizes)}{_state(result)}</p>"]
    parts += [_verdicts(result), _numbers(result), _missing(result)]
    return "".join(parts)


def _state(result: "AuditResult") -> str:
    return "" if result.status == "ok" else f" · the run is {result.status}, not finished"


def _verdicts(result: "AuditResult") -> str:
    if not result.verdicts:
        return "<p>Not judged: <code>voxaudit gate RUN</code>.</p>"
    rows = "".join(
        f"<tr><td><b>{v.verdict}</b></td><td>{escape(v.metric)}</td><td>{escape(v.gate)}</td>"
        f"<td>{escape(v.message)}</td></tr>"
        for v in result.verdicts
    )
    return f"<table><tr><th>gate</th><th></th><th></th><th></th></tr>{rows}</table>"


def _numbers(result: "AuditResult") -> str:
    table = result.to_frame()
    done = table[table["status"] == "ok"]
    if done.empty:
        return "<p>No numbers yet.</p>"
    floors = [reference.get("real_vs_real") for reference in done["reference"]]
    shown = done.assign(real_vs_real=floors)[NUMBERS]
    text = shown.to_html(index=False, escape=True, na_rep="", float_format=lambda x: f"{x:.4g}")
    return str(text)


def _missing(result: "AuditResult") -> str:
    rows = [
        f"<li><code>{escape(f.metric)}</code> {escape(f.reason)}</li>"
        for f in result.findings
        if f.status != "ok"
    ]
    if not rows:
        return ""
    items = "".join(rows)
    return f"<details><summary>{len(rows)} not computed</summary><ul>{items}</ul></details>"
