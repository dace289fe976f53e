"""``voxaudit train`` and ``voxaudit sample`` from files to volumes, and their one-line refusals."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from forked import by_two
from micro import micro_recipe

from audit.cohort import cohort_of, read_cohort, write_cohort
from audit.errors import BadInput
from audit.phantoms import thorax_cohort
from generators.drawing import LOWER_DENOISING
from generators.memory import memory_to_spare
from generators.models.medlord import MedLoRD
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("medlord")
    cohort = cohort_of("train", list(thorax_cohort(2, size=32)))
    MedLoRD(micro_recipe("medlord")).fit(cohort, folder=folder, cpu=True)
    return folder


def sample(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    from voxaudit import main

    monkeypatch.setattr(sys, "argv", ["voxaudit", "sample", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_memory_limit_reaches_decoding(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from generators import tiles

    limits, whole = [], tiles.choose_tile

    def watch(network: Any, stack: Any, tensor: Any, size: Any, memory_gb: float) -> Any:
        limits.append(memory_gb)
        return whole(network, stack, tensor, size, memory_gb)

    monkeypatch.setattr(tiles, "choose_tile", watch)
    assert sample(monkeypatch, trained, "--n", 1, "--out", tmp_path, "--memory-gb", 0.5) == 0
    assert 0.4 < limits[0] < 0.5  # what the weights beside the decoder leave of it


def test_too_little_memory_is_one_line_with_need_and_option(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = (trained, "--n", 1, "--out", tmp_path, "--memory-gb", 0.001)
    assert sample(monkeypatch, *given) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("voxaudit:")]
    assert len(told) == 1
    assert re.search(r"at least [\d.]+ GB.*Raise --memory-gb by", told[0])


def test_an_allocation_that_fails_is_one_line_with_need_and_option() -> None:
    with (
        pytest.raises(BadInput, match=r"denoising needs another 4e\+06 GB.*Lower --batch-size"),
        memory_to_spare("denoising", LOWER_DENOISING),
    ):
        torch.empty(10**15)
    on_gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has")
    with (
        pytest.raises(BadInput, match=r"another 2\.68 GB"),
        memory_to_spare("decoding", "remedy"),
    ):
        raise on_gpu
    with pytest.raises(RuntimeError, match="shapes"), memory_to_spare("decoding", "remedy"):
        raise RuntimeError("shapes differ")


def test_two_processes_write_the_files_of_one(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [str(trained), "--n", "3", "--seed", "5", "--batch-size", "1", "--out"]
    assert sample(monkeypatch, *given, tmp_path / "one") == 0
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    words = ["-m", "voxaudit", "sample", *given, tmp_path / "two"]
    codes, told = by_two(words, threads, tmp_path / "two")
    assert codes == [0, 0], told
    one, two = tmp_path / "one", tmp_path / "two"
    names = sorted(file.name for file in one.iterdir() if file.is_file())
    assert names == ["00000.nii.gz", "00001.nii.gz", "00002.nii.gz", "cohort.csv"]
    assert [n for n in names if (one / n).read_bytes() != (two / n).read_bytes()] == []
