"""Verdicts as JUnit XML: one test case a gate, its message in the failure's text."""

import re
from xml.etree import ElementTree

from audit.result import AuditResult, Verdict

PASSING = {"PASSED", "HELD", "IMPROVED", "SUSPECT"}
UNDECIDED = {"UNDERPOWERED", "NOT_COMPARABLE"}


def render_junit(result: AuditResult, *, strict: bool = False) -> str:
    """JUnit XML of a judged result, in the subset that CI systems agree on.

    Undecided gates are ``skipped``, advisory failures pass with their text in ``system-out``.
    """
    suite = ElementTree.Element("testsuite", name=_clean(result.name or "voxaudit"))
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for verdict in result.verdicts:
        counts["tests"] += 1
        section, _, rest = verdict.metric.partition(".")
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_clean(f"gates.{section}"),
            name=_clean(f"{rest or section}: {verdict.gate}"),
            time="0",
        )
        outcome = _outcome(verdict, strict=strict)
        if outcome == "passed":
            if verdict.verdict != "PASSED":
                ElementTree.SubElement(case, "system-out").text = _clean(_text(verdict))
            continue
        counts[{"failure": "failures", "error": "errors", "skipped": "skipped"}[outcome]] += 1
        element = ElementTree.SubElement(
            case, outcome, type=verdict.verdict, message=_clean(verdict.message)
        )
        element.text = _clean(_text(verdict))
    for name, count in counts.items():
        suite.set(name, str(count))
    root = ElementTree.Element("testsuites", {"name": "voxaudit gate", **_strings(counts)})
    root.append(suite)
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _outcome(verdict: Verdict, *, strict: bool) -> str:
    word = verdict.verdict
    if verdict.severity == "warn" or (word in PASSING and not (strict and word == "SUSPECT")):
        return "passed"
    if word == "ERROR":
        return "error"
    return "skipped" if word in UNDECIDED else "failure"


def _text(verdict: Verdict) -> str:
    advice = (
        "\nIf the change is meant: voxaudit baseline accept RUN --metric "
        f"'{verdict.metric}' --reason '...'"
        if verdict.verdict == "REGRESSED"
        else ""
    )
    return f"{verdict.verdict} ({verdict.severity}) {verdict.message}{advice}"


def _clean(text: str) -> str:
    """Characters that XML 1.0 cannot hold are dropped."""
    return re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "", text)


def _strings(counts: dict[str, int]) -> dict[str, str]:
    return {name: str(count) for name, count in counts.items()}
