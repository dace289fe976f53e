"""The commands that make A/A runs, and how a run is found."""

import shlex

import pytest
import yaml

from audit.config import read_config
from audit.errors import BadInput
from audit.gates.aa_runs import aa_commands
from audit.run_path import find_run


def configuration(folder, **generator):
    spec = {"id": "ldm", "kind": "ldm", "preset": "ldm-tiny", "n": 40, "conditional": True}
    file = folder / "audit.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "name": "mine",
                "seed": 3,
                "out": str(folder / "runs" / "mine"),
                "data": {"train": "a", "holdout": "b c"},
                "generators": [spec | generator],
            }
        )
    )
    return file


def test_a_run_differs_in_the_sampling_seed_and_in_nothing_else(tmp_path):
    file = configuration(tmp_path, sampling={"steps": 5}, only=["fidelity.*"])
    lines = aa_commands(file, 10, tmp_path / "baseline.json")
    sampled = [shlex.split(line) for line in lines if line.startswith("voxaudit sample")]
    audited = [shlex.split(line) for line in lines if line.startswith("voxaudit run")]
    seeds = [words[words.index("--seed") + 1] for words in sampled]
    assert seeds == [str(s) for s in range(4, 14)]
    assert len({tuple(w for w in words if "ldm-" not in w)[:5] for words in sampled}) == 1
    assert sampled[0][sampled[0].index("--conditions") + 1] == str(tmp_path / "b c")
    assert sampled[0][sampled[0].index("--steps") + 1] == "5"
    for sample, audit in zip(sampled, audited, strict=True):
        changes = tuple(audit[i + 1] for i, word in enumerate(audit) if word == "--set")
        settings = read_config(file, changes=changes)
        (spec,) = settings.generators
        assert settings.seed == 3
        assert settings.data == read_config(file).data
        assert spec.path == sample[sample.index("--out") + 1]
        assert spec.conditional
        assert spec.only == ("fidelity.*",)
    calibrate = shlex.split(lines[-1])
    assert len(calibrate) == 3 + 10 + 2
    assert calibrate[3] == str(tmp_path / "runs" / "mine-aa" / "ldm-4")


def test_a_folder_of_volumes_cannot_be_sampled_again(tmp_path):
    file = configuration(tmp_path, kind="folder", path="made")
    with pytest.raises(BadInput, match="folders of volumes only"):
        aa_commands(file, 10, tmp_path / "baseline.json")


def test_a_run_is_found_by_its_name_and_by_the_pointer(tmp_path, monkeypatch):
    run = tmp_path / "runs" / "thorax" / "ldm"
    run.mkdir(parents=True)
    (tmp_path / "runs" / "latest").write_text(f"{run}\n")
    monkeypatch.chdir(tmp_path)
    assert find_run("runs/latest") == find_run("latest") == run
    assert find_run("thorax/ldm").resolve() == run
