"""The workflow that ``voxaudit init`` writes, played as GitHub's runner would.

Every ``run`` step but the installing one is executed by the shell the workflow names; ``uses``
steps are known by name; the few expressions that occur are evaluated, an unknown one fails.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reports.commands.init import init

BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")  # what `shell: bash` means to GitHub
FEW, ENOUGH = (12, 8), (14, 19)  # train and hold-out; 19 strangers show a rate of 5 %
EVENT = {
    "github.ref": "refs/pull/7/merge",
    "github.token": "t0ken",
    "github.repository": "org/study",
    "github.event_name": "pull_request",
    "github.event.pull_request.number": "7",
    "github.event.pull_request.head.repo.full_name": "org/study",
}
GH = """#!/bin/sh
# Stands in for GitHub's API: lists {old!r}, keeps what is posted.
echo "$@" >> {log}
case "$*" in
  *--paginate*) printf '%b' {old!r} ;;
  *body=@comment.md*) {posted} ;;
esac
"""


def evaluate(expression, github):
    """The value of an expression made of names, quoted strings, ``==``, ``&&`` and ``always()``."""

    def value(term):
        term = term.strip()
        if term == "always()":
            return True
        if quoted := re.fullmatch(r"'([^']*)'", term):
            return quoted[1]
        assert term in github, f"the runner does not know the expression {term}"
        return github[term]

    results = []
    for clause in expression.split("&&"):
        left, equals, right = clause.partition("==")
        results.append(value(left) == value(right) if equals else value(left))
    return all(results) if len(results) > 1 else results[0]


def filled(text, github):
    return re.sub(r"\$\{\{(.*?)\}\}", lambda m: str(evaluate(m[1], github)), str(text))


def due(step, github, red):
    """Whether a step runs: without always() only while nothing has failed."""
    condition = step.get("if", "success()")
    if "always()" not in condition:
        assert condition == "success()", condition
        return not red
    return bool(evaluate(condition, github))


def upload(step, folder):
    """What actions/upload-artifact would keep: the files its patterns find."""
    assert step["with"]["name"] == "audit"
    return sorted({p for line in step["with"]["path"].split() for p in folder.glob(line)})


def play(folder, *, bin_folder, github=EVENT):
    """Run the job; what each step did by name, what was uploaded, and whether the job is red.

    Nothing is installed: the interpreter of the tests has voxaudit.
    """
    workflow = yaml.safe_load((folder / ".github/workflows/audit.yml").read_text())
    (job,) = workflow["jobs"].values()
    filled(workflow["concurrency"]["group"], github)
    assert job["defaults"]["run"]["shell"] == "bash"
    files = {name: folder.parent / name.lower() for name in
             ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}  # fmt: skip
    for file in files.values():
        file.touch()
    base = {"PATH": f"{bin_folder}:{Path(sys.executable).parent}:/usr/bin:/bin", "CI": "true",
            "HOME": str(folder.parent), "OMP_NUM_THREADS": "1",
            **{name: str(file) for name, file in files.items()}}  # fmt: skip
    done, kept, red = {}, [], False
    for step in job["steps"]:
        name = step.get("name", step.get("uses"))
        if not due(step, github, red):
            done[name] = None
            continue
        if "uses" in step:
            action = step["uses"].partition("@")[0]
            assert action in ("actions/checkout", "actions/setup-python", "actions/upload-artifact")
            if action == "actions/upload-artifact":
                kept = upload(step, folder)
            continue
        command = "true" if name == "Install" else filled(step["run"], github)
        own = {key: filled(text, github) for key, text in step.get("env", {}).items()}
        script = folder.parent / "step.sh"
        script.write_text(command)
        ended = subprocess.run([*BASH, str(script)], cwd=folder, env=base | own,
                               capture_output=True, text=True, check=False)  # fmt: skip
        done[name] = ended.returncode
        print(f"--- {name}: {ended.returncode}\n{ended.stdout}{ended.stderr}")
        red = red or (ended.returncode != 0 and not step.get("continue-on-error"))
    return done, kept, red


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A new git repository with what ``voxaudit init`` writes."""
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    folder = tmp_path / "study"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    init(folder)
    return folder


def stand_in_for_gh(parent, *, old="", posted="cp comment.md ../posted.md"):
    folder = parent / "bin"
    folder.mkdir()
    (folder / "gh").write_text(GH.format(old=old, posted=posted, log=parent / "gh.log"))
    (folder / "gh").chmod(0o755)
    return folder


def configure(folder, kind, cases, **more):
    """A small audit in place of the one that init proposes; the workflow stays as it is."""
    generators = [{"id": "mine", "kind": kind, "n": 14, **more}]
    file = yaml.safe_load((folder / "audit.yaml").read_text())
    metrics = {"only": ["memorization.copy_rate"], "extractors": ["intensity"]}
    phantom = {"kind": "thorax", "train": cases[0], "holdout": cases[1]}
    changed = {"name": "ci", "data": {"phantom": phantom}, "generators": generators}
    changed |= {"metrics": metrics, "profiles": {"ci": {}}}
    (folder / "audit.yaml").write_text(yaml.safe_dump(file | changed))


def test_the_workflow_is_valid_by_githubs_schema(repository):
    """By the schema that check-jsonschema brings along: no network."""
    program = Path(sys.executable).with_name("check-jsonschema")
    if not program.is_file():
        pytest.skip("check-jsonschema is not installed: pip install voxaudit[test]")
    command = [str(program), "--builtin-schema", "vendor.github-workflows"]
    file = repository / ".github/workflows/audit.yml"
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    file.write_text(file.read_text().replace("runs-on:", "run-on:"))
    assert subprocess.run([*command, str(file)], capture_output=True, check=False).returncode == 1


def test_actions_are_current_and_rights_are_the_least(repository):
    """Majors that run on Node 24: GitHub's runners lost Node 20 on 16 September 2026."""
    workflow = yaml.safe_load((repository / ".github/workflows/audit.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    used = {
        s["uses"].split("@")[0]: int(s["uses"].split("@v")[1]) for s in job["steps"] if "uses" in s
    }
    least = {"actions/checkout": 5, "actions/setup-python": 6, "actions/upload-artifact": 6}
    assert used.keys() == least.keys()
    assert all(int(used[name]) >= least[name] for name in least)
    # Without a file to take the key from, setup-python's cache fails the job.
    python = next(s["with"] for s in job["steps"] if "setup-python" in s.get("uses", ""))
    assert (repository / python["cache-dependency-path"]).is_file()


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        pytest.param(FEW, "A missing number never passes", id="no-number"),
        pytest.param(ENOUGH, "upper95", id="copies", marks=pytest.mark.slow),
    ],
)
def test_a_failed_gate_ends_red_and_still_reports_uploads_and_comments(
    repository, tmp_path, cases, why
):
    """A generator that returns its training set, audited by the real commands."""
    configure(repository, "replay", cases)
    done, kept, red = play(repository, bin_folder=stand_in_for_gh(tmp_path))
    assert red
    assert done == {
        "Install": 0,
        "Measure (exits 0 when it measured)": 0,
        "Judge (1 failed, 3 no decision, 4 broken)": 1,
        "Report": 0,
        "Comment on the pull request": 0,
    }
    assert {p.name for p in kept} == {
        "report.html", "result.json", "cases.csv", "gate.json", "gate.junit.xml", "summary.md",
    }  # fmt: skip
    summary = (tmp_path / "github_step_summary").read_text()
    assert 200 < len(summary.encode()) <= 2**20
    assert "FAILED" in summary
    assert why in summary
    assert "FAILED" in next(p for p in kept if p.name == "report.html").read_text()
    comment = (tmp_path / "posted.md").read_text()
    assert comment.startswith("<!-- voxaudit -->\n##")
    assert "FAILED" in comment


@pytest.mark.slow
def test_a_passed_gate_ends_green(repository, tmp_path):
    """Volumes of other phantoms, which nobody copied."""
    from audit.cohort import write_cohort
    from audit.phantoms import thorax_cohort

    write_cohort(thorax_cohort(14, seed=99, size=32), repository / "given")
    configure(repository, "folder", ENOUGH, path="./given", n=None)
    done, kept, red = play(repository, bin_folder=stand_in_for_gh(tmp_path))
    assert not red, done
    assert "PASSED" in (tmp_path / "posted.md").read_text()
    assert len(kept) == 6


@pytest.mark.slow
def test_what_init_writes_runs_as_it_is(repository, tmp_path):
    """The proposed audit, trained and measured: green, as a first pull request should be."""
    done, kept, red = play(repository, bin_folder=stand_in_for_gh(tmp_path))
    assert set(done.values()) == {0}, done
    assert not red
    assert len(kept) == 6


FAKE_AUDIT = """#!/bin/sh
case "$1" in
  run) exit {measure} ;;
  gate) mkdir -p runs/ci/mine; echo "## judged" >> summary.md ;;
esac
"""


def with_fake_audit(parent, repository, *, measure=0, **gh):
    folder = stand_in_for_gh(parent, **gh)
    (folder / "voxaudit").write_text(FAKE_AUDIT.format(measure=measure))
    (folder / "voxaudit").chmod(0o755)
    if measure == 0:
        (repository / "runs/ci/mine").mkdir(parents=True)
        (repository / "runs/ci/mine/result.json").write_text("{}")
    return folder


def test_a_second_push_edits_the_same_comment_and_no_other(repository, tmp_path):
    fake = with_fake_audit(tmp_path, repository, old="11\n42\n")
    _, _, red = play(repository, bin_folder=fake)
    assert not red
    asked, sent = (tmp_path / "gh.log").read_text().splitlines()[:2]
    assert 'startswith("<!-- voxaudit -->")' in asked
    assert "--method PATCH repos/org/study/issues/comments/42" in sent


def test_a_comment_that_may_not_be_written_changes_no_verdict(repository, tmp_path):
    fake = with_fake_audit(tmp_path, repository, posted="echo HTTP 403 >&2; exit 1")
    done, _, red = play(repository, bin_folder=fake)
    assert done["Comment on the pull request"] == 1
    assert not red


@pytest.mark.parametrize(
    "event",
    [{"github.event.pull_request.head.repo.full_name": "stranger/study"},
     {"github.event_name": "workflow_dispatch", "github.event.pull_request.number": "",
      "github.event.pull_request.head.repo.full_name": ""}],
    ids=["fork", "by-hand"],
)  # fmt: skip
def test_forks_and_runs_by_hand_get_a_summary_and_no_comment(repository, tmp_path, event):
    fake = with_fake_audit(tmp_path, repository)
    done, kept, red = play(repository, bin_folder=fake, github=EVENT | event)
    assert done["Comment on the pull request"] is None
    assert not red
    assert (tmp_path / "github_step_summary").read_text().strip() == "## judged"


def test_a_run_that_breaks_says_so_in_the_summary(repository, tmp_path):
    fake = with_fake_audit(tmp_path, repository, measure=2)
    done, kept, red = play(repository, bin_folder=fake)
    assert red
    assert done["Judge (1 failed, 3 no decision, 4 broken)"] is None
    assert "No run was judged" in (tmp_path / "github_step_summary").read_text()
    assert [p.name for p in kept] == ["summary.md"]


def test_a_long_summary_is_cut_at_a_line_for_the_comment(repository, tmp_path):
    fake = with_fake_audit(tmp_path, repository)
    (repository / "summary.md").write_text("| ä | 0.5 |\n" * 20_000, encoding="utf-8")
    _, _, red = play(repository, bin_folder=fake)
    comment = (tmp_path / "posted.md").read_bytes()
    assert not red
    assert 50_000 < len(comment) <= 60_000
    assert comment.decode().endswith("|\n")


def test_an_unknown_expression_is_not_waved_through():
    with pytest.raises(AssertionError, match="does not know"):
        evaluate("github.actor == 'x'", EVENT)
