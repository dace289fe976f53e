"""Generators kept during a training, sampled and audited: the curve of copies over time."""

import csv
from pathlib import Path

import pytest
import yaml
from micro import micro_recipe
from safetensors.torch import load_file
from typer.testing import CliRunner

from audit.cohort import Cohort, cohort_of, read_cohort, write_cohort
from audit.errors import BadInput
from audit.phantoms import thorax_cohort
from generators.kept import kept_generators
from generators.library import load
from generators.models.ldm import LDM
from voxaudit import build_app


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return cohort_of("train", list(thorax_cohort(4, size=32)))


@pytest.fixture(scope="module")
def model(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    recipe = micro_recipe("ldm", denoiser={"steps": 4, "keep_every": 2, "ema_decay": 0.9})
    LDM(recipe).fit(cohort, folder=folder, cpu=True)
    return folder


def test_a_training_keeps_whole_generators_with_their_moment(model: Path) -> None:
    kept = kept_generators(model)
    assert [place.name for place in kept] == ["denoiser-0000002", "denoiser-0000004"]
    assert [(k.step, k.passes) for k in kept.values()] == [(2, 1.0), (4, 2.0)]
    assert 0 < next(iter(kept.values())).train_s < list(kept.values())[1].train_s
    early, late, final = (load_file(p / "model.safetensors") for p in (*kept, model))
    assert all(late[name].equal(final[name]) for name in final)  # the averaged weights
    changed = {name.split(".")[0] for name in final if not early[name].equal(final[name])}
    assert changed == {"denoiser"}


def test_keeping_changes_no_weight_and_no_checkpoint(
    model: Path, cohort: Cohort, tmp_path: Path
) -> None:
    recipe = micro_recipe("ldm", denoiser={"steps": 4, "ema_decay": 0.9})
    LDM(recipe).fit(cohort, folder=tmp_path, cpu=True)
    one, other = (load_file(place / "model.safetensors") for place in (model, tmp_path))
    assert all(one[name].equal(other[name]) for name in one)
    with pytest.raises(BadInput, match="kept no generators.*keep_every: 500"):
        kept_generators(tmp_path)


def test_sampling_and_scoring_them_writes_the_curve(
    model: Path, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXAUDIT_CACHE", str(tmp_path / "cache"))
    write_cohort(list(cohort), tmp_path / "train")
    write_cohort(list(thorax_cohort(6, role="holdout", seed=1, size=32)), tmp_path / "holdout")
    samples, out = tmp_path / "samples", tmp_path / "run"
    runner, app = CliRunner(), build_app()
    asked = ["sample", str(model), "--checkpoints", "--n", "6", "--out", str(samples)]
    assert runner.invoke(app, asked).exit_code == 0
    cohorts = [read_cohort(place, role="synthetic") for place in sorted(samples.iterdir())]
    assert [len(made) for made in cohorts] == [6, 6]
    first = next(iter(load(next(iter(kept_generators(model)))).sample(1, seed=0)))
    assert cohorts[0][0].image.array == pytest.approx(first.image.array, abs=1.0)  # HU, rounded
    real = ["--train", tmp_path / "train", "--holdout", tmp_path / "holdout", "--out", out]
    made = ["--synthetic", samples / "denoiser-0000004", "--checkpoints", samples]
    asked = ["--extractor", "intensity", "--only", "fidelity.kernel_distance"]
    done = runner.invoke(app, [str(word) for word in ("score", *real, *made, *asked)])
    assert done.exit_code == 0, done.output
    with (out / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    distances = [r for r in rows if r["metric"] == "fidelity.kernel_distance[intensity]"]
    assert [r["step"] for r in distances] == ["2", "4"]
    assert all(float(r["low"]) <= float(r["value"]) <= float(r["high"]) for r in distances)
    copies = [r for r in rows if r["metric"] == "memorization.copy_rate"]
    assert len(copies) == 2
    assert all("Hold out more patients" in r["reason"] for r in copies)  # a reason, not a zero


def test_a_run_refuses_a_curve_of_a_training_that_keeps_nothing(tmp_path: Path) -> None:
    config = {
        "name": "r",
        "out": str(tmp_path / "run"),
        "data": {"phantom": {"kind": "thorax", "train": 4, "holdout": 4}},
        "generators": [{"id": "ldm", "kind": "ldm", "preset": "ldm-tiny"}],
    }
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(config))
    asked = ["run", "-c", str(tmp_path / "audit.yaml"), "--checkpoints"]
    with pytest.raises(BadInput, match="'ldm' keeps no generators of its training.*keep_every"):
        CliRunner().invoke(build_app(), asked, catch_exceptions=False)
    assert not (tmp_path / "run").exists()


def test_samples_without_a_step_in_their_name_are_refused(tmp_path: Path) -> None:
    from audit.over_training import sampled_moments

    with pytest.raises(BadInput, match="0 cohorts under"):
        sampled_moments(tmp_path / "absent")
    for name in ("early", "late"):
        (tmp_path / name).mkdir()
    with pytest.raises(BadInput, match="'(early|late)' names no training step"):
        sampled_moments(tmp_path)


@pytest.mark.slow
def test_a_run_audits_what_its_training_kept_and_the_report_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    config = {
        "name": "r",
        "device": "cpu",
        "data": {"phantom": {"kind": "thorax", "train": 8, "holdout": 8}},
        "generators": [
            {"id": "ldm", "kind": "ldm", "preset": "ldm-tiny", "n": 6,
             "params": {"stage1": {"steps": 3}, "denoiser": {"steps": 4, "keep_every": 2},
                        "sampling": {"steps": 2}}},
            {"id": "replay", "kind": "replay", "n": 6},
        ],
        "metrics": {"only": ["memorization.copy_rate"], "extractors": ["intensity"]},
    }  # fmt: skip
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(config))
    for _ in range(2):  # the second call finds everything done
        done = CliRunner().invoke(build_app(), ["run", "--checkpoints"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    with (tmp_path / "runs/r/ldm/curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    distances = [r for r in rows if r["metric"] == "fidelity.kernel_distance[intensity]"]
    assert [(r["step"], r["passes"]) for r in distances] == [("2", "2.0"), ("4", "4.0")]
    assert all(float(r["train_s"]) > 0 for r in rows)
    assert "Copies over the training" in (tmp_path / "runs/r/ldm/report.html").read_text()
    assert not (tmp_path / "runs/r/replay/curve.csv").exists()
