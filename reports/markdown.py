"""A run as Markdown of at most 60 kB: for a pull-request comment or a step summary."""

from audit.result import AuditResult, Finding
from reports import words
from reports.headline import conclusion

LIMIT_BYTES = 60_000


def render_markdown(result: AuditResult, *, headline: str = "") -> str:
    """Verdicts first, the leading numbers in words, then every finding and what has no number.

    Args:
        result: A result, judged or not.
        headline: Outcome of the gate in one line.
    """
    word, _ = words.outcome(result)
    parts = [f"## {escape(words.title(result))}\n\n**{escape(headline or word)}**\n"]
    if result.provenance.get("profile") == "smoke":
        parts.append("> Smoke run: for testing the pipeline only.\n")
    parts.append(_verdicts(result))
    parts.append("\n".join(f"- {escape(s)}" for s in conclusion(result)) + "\n")
    for section in words.section_names(result):
        found = [f for f in result.findings if f.section == section and f.status == "ok"]
        parts.append(_section(section, sorted(found, key=words.rank)))
    parts.append(_limits(result))
    return _capped([p for p in parts if p])


def _verdicts(result: AuditResult) -> str:
    if not result.verdicts:
        return "No gate was run: `voxaudit gate RUN`.\n"
    rows = [
        f"| {v.verdict}{' (advisory)' if v.severity == 'warn' else ''} | `{escape(v.metric)}` "
        f"| {escape(v.gate)} | {escape(v.message)} |"
        for v in result.verdicts
    ]
    regressed = [v.metric for v in result.verdicts if v.verdict == "REGRESSED"]
    advice = (
        "\nIf the change is meant: `voxaudit baseline accept RUN --reason '...' "
        f"--metric '{escape(regressed[0])}'` and commit the baseline.\n"
        if regressed
        else ""
    )
    head = "| verdict | metric | gate | numbers |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n" + advice


def _section(section: str, findings: list[Finding]) -> str:
    rows = [
        f"| `{escape(f.metric)}` | {escape(f'{words.number(f.value)} {f.unit}'.strip())} "
        f"| {escape(words.interval(f))} | {escape(words.floor_text(f))} | {f.n} |"
        for f in findings
    ]
    if not rows:
        return ""
    title = f"{words.section_title(section)}: {words.section_question(section)}"
    head = f"<details><summary>{escape(title)} ({len(rows)})</summary>\n\n"
    head += "| metric | value | interval | read it against | n |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n\n</details>\n"


def _limits(result: AuditResult) -> str:
    missing = [f for f in result.findings if f.status != "ok"]
    if not missing:
        return ""
    rows = [f"- `{escape(f.metric)}`: {escape(f.reason)}" for f in missing]
    head = f"<details><summary>Not computed ({len(missing)})</summary>\n\n"
    return head + "\n".join(rows) + "\n\n</details>\n"


def _capped(parts: list[str]) -> str:
    """Join blocks; those that do not fit are counted, never dropped in silence."""
    text = ""
    for i, part in enumerate(parts):
        if len((text + part).encode()) > LIMIT_BYTES - 200:
            return text + f"\n{len(parts) - i} further sections are in the report.\n"
        text += part + "\n"
    return text


def escape(text: str) -> str:
    """Markup in names stays text: no tag, link, mention, code span or table cell."""
    flat = " ".join(str(text).split())
    for found, instead in _HARMLESS.items():
        flat = flat.replace(found, instead)
    return flat


_HARMLESS = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "'", "](": "] (", "@": "@\u200b",
    "![": "! [", "://": ": //",
}  # fmt: skip
