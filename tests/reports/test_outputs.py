"""Markdown, JUnit, card, tables, init and the pytest plugin."""

import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from junitparser import JUnitXml

from audit.errors import BadInput
from audit.result import AuditResult, Finding, Verdict, load_result, write_result
from reports.card import render_card
from reports.export import write_tables
from reports.junit import render_junit
from reports.markdown import LIMIT_BYTES, render_markdown

HOSTILE = "<script>alert(1)</script>|`@team ![x](http://evil.example)\x00"


@pytest.fixture
def result(shared_run):
    return load_result(shared_run)


def test_markdown_starts_with_the_outcome_and_lists_what_is_missing(result):
    text = render_markdown(result)
    assert text.index("FAIL") < text.index("REGRESSED") < text.index("Fidelity")
    folds = [f"<summary>{title}" for title in ("Fidelity", "Diversity", "Memorization")]
    assert [text.index(fold) for fold in folds] == sorted(text.index(fold) for fold in folds)
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>")
    assert "Not computed (1)" in text
    assert "baseline accept" in text


def test_markdown_stays_under_its_limit_and_says_what_it_left_out():
    findings = tuple(
        Finding(metric=f"s{i % 9}.metric_{i}", value=1.0, low=0.0, high=2.0, n=9, unit="x" * 60)
        for i in range(1500)
    )
    text = render_markdown(AuditResult(name="long", findings=findings))
    assert len(text.encode()) <= LIMIT_BYTES
    assert "further sections are in the report" in text


@pytest.mark.parametrize("render", [render_markdown, render_card, render_junit])
def test_hostile_names_are_harmless_in_text_outputs(render):
    finding = Finding(metric=f"{HOSTILE}.b[{HOSTILE}]", value=1.0, unit=HOSTILE, method=HOSTILE)
    verdict = Verdict(gate=HOSTILE, metric=HOSTILE, verdict="FAILED", message=HOSTILE)
    text = render(AuditResult(name=HOSTILE, findings=(finding,), verdicts=(verdict,)))
    assert "<script>" not in text
    assert "](http" not in text or render is render_junit


def test_junit_has_one_case_a_gate_and_skips_what_is_undecided():
    verdicts = tuple(
        Verdict(gate=word, metric="fidelity.x", verdict=word, severity=severity, message="why")
        for word, severity in (("PASSED", "block"), ("FAILED", "block"), ("FAILED", "warn"),
                               ("ERROR", "block"), ("UNDERPOWERED", "block"), ("SUSPECT", "block"))
    )  # fmt: skip
    text = render_junit(AuditResult(name="r", verdicts=verdicts))
    xml = JUnitXml.fromstring(text.encode())
    suite = next(iter(xml))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (6, 1, 1, 1)
    strict = next(iter(JUnitXml.fromstring(
        render_junit(AuditResult(name="r", verdicts=verdicts), strict=True).encode())))  # fmt: skip
    assert strict.failures == 2


def test_the_card_leaves_open_questions_open(result):
    card = render_card(result)
    assert card.startswith("---\n")
    assert yaml.safe_load(card.split("---")[1])["tags"]
    assert card.count("to be filled in by a person") >= 3
    for word in ("anonymous data", "is private", "is safe", "compliant"):
        assert word not in card


def test_tables_hold_every_number_and_read_back(shared_run, tmp_path, result):
    paths = {p.name: p for p in write_tables(shared_run, tmp_path)}
    findings = pd.read_parquet(paths["findings.parquet"])
    assert len(findings) == len(result.findings) == len(pd.read_csv(paths["findings.csv"]))
    cases = pd.read_parquet(paths["cases.parquet"])
    assert set(cases.columns) == {"id", "role", "group", "metric", "value"}
    assert cases["value"].notna().all()
    wide = cases[(cases.metric == "cardiac.lv_ef_percent") & (cases.role == "synthetic")]
    assert len(wide) == 32


def test_no_patient_and_no_path_in_any_shareable_output(shared_run, tmp_path):
    from audit.gate import judge, record

    result = load_result(shared_run)
    folder = tmp_path / "out"
    write_tables(shared_run, folder)
    (folder / "a.md").write_text(render_markdown(result))
    (folder / "a.xml").write_text(render_junit(result))
    (folder / "card.md").write_text(render_card(result))
    record(judge(result), result, folder)
    (folder / "report.html").write_bytes((shared_run / "report.html").read_bytes())
    for file in folder.iterdir():
        data = file.read_bytes()
        assert b"MUELLER_HANS_19530412" not in data, file.name
        assert str(shared_run).encode() not in data, file.name


def test_init_writes_files_that_are_valid_and_never_overwrites(tmp_path):
    from audit.config import read_config
    from audit.gates.gates_file import read_gates
    from reports.commands.init import init

    init(tmp_path)
    for profile in (None, "smoke", "ci", "full"):
        assert read_config(tmp_path / "audit.yaml", profile=profile).generators
    assert read_gates(tmp_path / "gates.yaml").gates
    workflow = yaml.safe_load((tmp_path / ".github/workflows/audit.yml").read_text())
    steps = " ".join(step.get("run", "") for step in workflow["jobs"]["audit"]["steps"])
    for part in ("voxaudit run", "voxaudit gate", "voxaudit report", "GITHUB_STEP_SUMMARY"):
        assert part in steps
    with pytest.raises(BadInput, match=r"audit\.yaml"):
        init(tmp_path)


@pytest.mark.parametrize(
    ("codes", "code"),
    [({"a": 0, "b": 0}, 0), ({"a": 3, "b": 1, "c": 4}, 1), ({"a": 3, "b": 4}, 4),
     ({"a": 3, "b": 0}, 3), ({"a": 1, "b": 2}, 2), ({}, 4)],
)  # fmt: skip
def test_the_workflow_judges_every_run_and_ends_with_the_worst(tmp_path, codes, code):
    """The judging step, run in bash with a fake voxaudit."""
    from reports.commands.init import init

    init(tmp_path)
    workflow = yaml.safe_load((tmp_path / ".github/workflows/audit.yml").read_text())
    step = next(s["run"] for s in workflow["jobs"]["audit"]["steps"]
                if "voxaudit gate" in s.get("run", ""))  # fmt: skip
    for name in codes:
        folder = tmp_path / "runs" / "x" / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{}")
    fake = tmp_path / "voxaudit"
    fake.write_text(
        '#!/bin/sh\necho "$2" >> judged\ncase "$2" in '
        + " ".join(f"*/{name}/) exit {value};;" for name, value in codes.items())
        + " esac\n"
    )
    fake.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    done = subprocess.run(["bash", "-e", "-c", step], cwd=tmp_path, env={"PATH": path}, check=False)
    assert done.returncode == code
    judged = tmp_path / "judged"
    assert len(judged.read_text().split() if judged.is_file() else []) == len(codes)


PLUGIN_RUN = (sys.executable, "-m", "pytest", "-q", "-p", "reports.pytest_plugin",
              "-p", "no:cacheprovider", "--rootdir")  # fmt: skip


def test_the_pytest_plugin_makes_one_item_a_gate(tmp_path):
    from audit.estimate import proportion

    bad = proportion(30, 32)
    write_result(
        AuditResult(name="r", status="ok", findings=(Finding(
            metric="memorization.copy_rate", value=bad.value, low=bad.low, high=bad.high, n=32,
            level=0.95, method=bad.method, better="lower"),)),
        tmp_path,
    )  # fmt: skip
    (tmp_path / "test_mine.py").write_text(
        "def test_fixture(audit_run):\n    assert audit_run['memorization.copy_rate'].n == 32\n"
    )
    arguments = [*PLUGIN_RUN, str(tmp_path), str(tmp_path), f"--voxaudit-run={tmp_path}"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, check=False,
                          env=alone)  # fmt: skip
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "FAILED memorization.copy_rate" in done.stdout
    chosen = subprocess.run([*arguments, "-k", "test_fixture"], capture_output=True, text=True,
                            cwd=tmp_path, check=False, env=alone)  # fmt: skip
    assert "1 passed, 1 deselected" in chosen.stdout


def test_the_comparison_page_is_offline_and_escapes(tmp_path):
    from audit.compare import Run, compare
    from reports.comparison import render_comparison, render_comparison_html

    def make(value):
        finding = Finding(metric=f"a.b[{HOSTILE[:25]}]", value=value, low=value - 1, high=value + 1,
                          level=0.95, n=9, better="lower", comparability="k")  # fmt: skip
        return AuditResult(findings=(finding,))

    rows = compare([Run(name="a", result=make(1.0)), Run(name="b", result=make(9.0))])
    page = render_comparison_html(rows, "a")
    assert "<script" not in page
    assert "worse" in page
    assert "<svg" in page
    assert "| worse (intervals of both runs) |" in render_comparison(rows, "a")


def test_a_comparison_says_what_is_left_out_and_which_run_is_not_finished():
    from audit.compare import Run, compare
    from reports.comparison import render_comparison, render_comparison_html, unfinished

    both, one = (Finding(metric=f"a.{n}", value=1.0, low=0.0, high=2.0, level=0.95, n=9,
                         better="lower", comparability="k") for n in "bc")  # fmt: skip
    runs = [
        Run(name="whole", result=AuditResult(status="ok", findings=(both, one))),
        Run(name="half", result=AuditResult(status="running", findings=(both,))),
    ]
    rows, notes = compare(runs), unfinished(runs)
    for text in (render_comparison(rows, "whole", notes),
                 render_comparison_html(rows, "whole", notes)):  # fmt: skip
        assert "The run half is running, not finished" in text
        assert "since a run lacks them: 1 " in text
        assert "a.c" not in text
    assert unfinished(runs[:1]) == []


def test_one_phase_of_many_does_not_speak_for_the_cost():
    from reports.headline import conclusion, leading

    phase = Finding(metric="footprint.energy_per_phase[audit.reading]", value=0.01, low=0.0,
                    high=0.1, level=0.95, n=1, better="lower", unit="Wh")  # fmt: skip
    whole = phase.model_copy(update={"metric": "footprint.energy_per_volume"})
    assert leading("footprint", AuditResult(findings=(phase,))) is None
    assert conclusion(AuditResult(findings=(phase,))) == []
    assert leading("footprint", AuditResult(findings=(phase, whole))) == whole
