"""``voxaudit train`` and ``voxaudit sample`` from files to volumes, and their one-line refusals."""

from pathlib import Path

import pytest
import yaml
from micro import micro_recipe

from audit.cohort import read_cohort, write_cohort
from audit.errors import BadInput
from audit.phantoms import thorax_cohort
from generators.train_file import read_train_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_cohort(list(thorax_cohort(3, size=32)), tmp_path / "real")
    recipe = micro_recipe("ldm").model_dump(mode="json")
    tree = {"train": "real", "out": "model", "seed": 4, **recipe}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(tree))
    return tmp_path


def test_train_then_sample(folder: Path) -> None:
    from typer.testing import CliRunner

    from voxaudit import build_app

    app, runner = build_app(), CliRunner()
    trained = runner.invoke(app, ["train", "-c", str(folder / "train.yaml")])
    assert trained.exit_code == 0, trained.output
    assert "denoiser_train" in trained.output
    out = str(folder / "samples")
    arguments = ["sample", str(folder / "model"), "--n", "2", "--seed", "1", "--out", out]
    sampled = runner.invoke(app, arguments)
    assert sampled.exit_code == 0, sampled.output
    assert len(read_cohort(out, role="synthetic")) == 2


def test_training_files_that_cannot_be_used(folder: Path) -> None:
    file = folder / "train.yaml"
    tree = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**tree, "denoisr": {}}))
    with pytest.raises(BadInput, match="unknown key 'denoisr'.*did you mean 'denoiser'"):
        read_train_file(file)
    file.write_text(yaml.safe_dump({k: v for k, v in tree.items() if k != "train"}))
    with pytest.raises(BadInput, match="names no training cohort"):
        read_train_file(file)
    with pytest.raises(BadInput, match="no file 'absent.yaml'"):
        read_train_file(folder / "absent.yaml")
