"""Replicates of a run, the A/A runs of a calibration, and how a run is found."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from audit.config import read_config, validate
from audit.errors import BadInput
from audit.gates.replicates import list_replicates, replicates_of
from audit.phantoms import thorax_cohort
from audit.provenance import provenance_of, work_tree
from audit.result import AuditResult, Finding, load_result, write_result
from audit.run_path import find_run
from audit.scoring import build_comparison
from voxaudit import build_app
from voxaudit.calibrate import make_aa_runs
from voxaudit.samples import _options

METRIC = "fidelity.intensity_wasserstein_distance"


def configuration(folder, *generators, **more):
    return {
        "name": "mine",
        "seed": 3,
        "device": "cpu",
        "out": str(folder / "runs" / "mine"),
        "data": {"phantom": {"kind": "thorax", "train": 7, "holdout": 5}},
        "generators": list(generators) or [{"id": "copies", "kind": "replay", "n": 4}],
        "metrics": {"only": [METRIC], "extractors": ["intensity"]},
    } | more


def invoke(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A run with three seeds, accepted, and its baseline calibrated from ten A/A runs."""
    work = tmp_path_factory.mktemp("calibrated")
    file, baseline = work / "audit.yaml", work / "baseline.json"
    file.write_text(yaml.safe_dump(configuration(work, replicates=3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        patch.chdir(work)  # away from this checkout, whose changes would forbid accepting
        patch.setattr("reports.html.write_report", lambda *_, **__: None)
        patch.setenv("VOXAUDIT_CACHE", str(work / "cache"))
        run = work / "runs" / "mine" / "copies"
        assert invoke("run", "-c", file).exit_code == 0
        replicates = [r.name for r in sorted((run / "replicates").glob("seed-*"))]
        accepted = invoke("baseline", "accept", run, "--reason", "first", "--file", baseline)
        assert accepted.exit_code == 0, accepted.exception
        arguments = ("baseline", "calibrate", "-c", file, "--replicates", 10, "--file", baseline)
        said = invoke(*arguments)
        assert said.exit_code == 0, said.exception
        yield {"run": run, "baseline": baseline, "arguments": arguments, "replicates": replicates}


def test_a_run_with_three_seeds_is_accepted_as_three_values(calibrated):
    assert calibrated["replicates"] == ["seed-4", "seed-5"]
    entry = json.loads(calibrated["baseline"].read_text())["metrics"][METRIC]
    own = load_result(calibrated["run"])
    others = replicates_of(calibrated["run"])
    values = [r[METRIC].value for r in (own, *others)]
    assert entry["values"] == pytest.approx(values, rel=1e-5)
    assert len(set(values)) == 3


def test_a_run_differs_in_the_sampling_seed_and_in_nothing_else(calibrated):
    folders = sorted((calibrated["run"] / "replicates").glob("seed-*"))
    assert len(folders) == 10
    own, samples = load_result(calibrated["run"]), set()
    for folder in folders:
        result = load_result(folder)
        assert result.provenance["seed"] == own.provenance["seed"] == 3
        assert result[METRIC].comparability == own[METRIC].comparability
        assert result.cohorts["train"].hash == own.cohorts["train"].hash
        samples.add(result.cohorts["synthetic"].hash)
    assert len(samples) > 5  # replay picks four of seven, so some seeds agree


def test_the_gate_takes_the_replicates_and_the_calibrated_margin(calibrated, tmp_path):
    entry = json.loads(calibrated["baseline"].read_text())["metrics"][METRIC]
    assert entry["aa_runs"] == 10
    assert entry["sd_aa"] > 0
    gates = tmp_path / "gates.yaml"
    gates.write_text(f"gates: [{{metric: {METRIC}, vs: baseline}}]")
    said = invoke("gate", calibrated["run"], "--gates", gates, "--baseline",
                  calibrated["baseline"], "--json")  # fmt: skip
    (verdict,) = json.loads(said.stdout)["verdicts"]
    assert verdict["verdict"] == "HELD"
    assert verdict["margin"] == pytest.approx(3 * entry["sd_aa"], rel=1e-4)


def test_a_repeated_calibration_keeps_what_is_finished(calibrated):
    part = calibrated["run"] / "replicates" / "seed-13" / "parts" / f"{METRIC}.json"
    sample = calibrated["run"] / "replicates" / "seed-13" / "synthetic" / "00000.nii.gz"
    times = part.stat().st_mtime_ns, sample.stat().st_mtime_ns
    before = calibrated["baseline"].read_bytes()
    assert invoke(*calibrated["arguments"]).exit_code == 0
    assert (part.stat().st_mtime_ns, sample.stat().st_mtime_ns) == times
    assert calibrated["baseline"].read_bytes() == before


def test_only_what_the_last_run_made_counts_as_its_replicates(tmp_path):
    finding = Finding(metric="fidelity.x", value=1.0)
    for seed in (1, 2, 3):
        place = tmp_path / "replicates" / f"seed-{seed}"
        write_result(AuditResult(name=str(seed), status="ok", findings=(finding,)), place)
    assert replicates_of(tmp_path) == []
    list_replicates(tmp_path, [tmp_path / "replicates" / "seed-2"])
    assert [r.name for r in replicates_of(tmp_path)] == ["2"]
    list_replicates(tmp_path, [])
    assert replicates_of(tmp_path) == []


def test_changed_files_of_the_work_tree_are_recorded(tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    assert work_tree(tmp_path) == {}
    git("init")
    (tmp_path / "audit.yaml").write_text("a: 1")
    git("add", "audit.yaml")
    git("commit", "-m", "first")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "result.json").write_text("{}")
    clean = work_tree(tmp_path)
    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] is False
    (tmp_path / "audit.yaml").write_text("a: 2")
    assert work_tree(tmp_path)["git_dirty"] is True


def test_a_profile_is_recorded_and_keeps_its_run_apart(tmp_path):
    file = tmp_path / "audit.yaml"
    file.write_text(yaml.safe_dump(configuration(tmp_path, out=None, profiles={"smoke": {}})))
    assert read_config(file).folder == Path("runs/mine")
    smoke = read_config(file, profile="smoke")
    assert smoke.folder == Path("runs/mine-smoke")
    still = thorax_cohort(2, seed=0, size=32)
    other = thorax_cohort(2, role="holdout", seed=1, size=32)
    found = [
        provenance_of(
            build_comparison(train=still, holdout=other, synthetic=other, options=options)
        )
        for options in (_options(smoke), _options(read_config(file)))
    ]
    assert found[0]["profile"] == "smoke"
    assert "profile" not in found[1]


def test_a_folder_of_volumes_cannot_be_sampled_again(tmp_path):
    given = {"id": "given", "kind": "folder", "path": "made"}
    with pytest.raises(BadInput, match="folders of volumes only"):
        make_aa_runs(validate(configuration(tmp_path, given)), "", 10)


def test_several_generators_need_a_name_and_a_finished_run(tmp_path):
    two = [{"id": name, "kind": "replay"} for name in ("a", "b")]
    config = validate(configuration(tmp_path, *two))
    with pytest.raises(BadInput, match="one of them"):
        make_aa_runs(config, "", 10)
    with pytest.raises(BadInput, match="no generator 'c'"):
        make_aa_runs(config, "c", 10)
    with pytest.raises(BadInput, match="no finished run"):
        make_aa_runs(config, "b", 10)


def test_calibration_needs_runs_or_a_configuration(tmp_path):
    baseline = tmp_path / "b.json"
    baseline.write_text("{}")
    said = invoke("baseline", "calibrate", "--file", baseline)
    assert isinstance(said.exception, BadInput)
    assert "no runs were given" in str(said.exception)


def test_a_run_is_found_by_its_name_and_by_the_pointer(tmp_path, monkeypatch):
    run = tmp_path / "runs" / "thorax" / "ldm"
    run.mkdir(parents=True)
    (tmp_path / "runs" / "latest").write_text(f"{run}\n")
    monkeypatch.chdir(tmp_path)
    assert find_run("runs/latest") == find_run("latest") == run
    assert find_run("thorax/ldm").resolve() == run
