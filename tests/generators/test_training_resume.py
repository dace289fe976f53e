"""Training killed and resumed equals training never interrupted; two processes equal one."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from forked import by_two, end, start
from safetensors.torch import load_file

from generators.training.history import read_lines

WORKER = Path(__file__).parent / "train_worker.py"
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def train(folder: Path, *, kill_at: str = "never") -> int | None:
    said = folder.with_name(f"{folder.name}-said")
    return end(start([WORKER, folder, kill_at], QUIET, said))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert train(folder) == 0
    return folder


def test_a_killed_training_resumes_to_the_same_weights_bit_for_bit(
    whole: Path, tmp_path: Path
) -> None:
    for kill_at in ("stage1:1", "denoiser:2"):
        assert train(tmp_path, kill_at=kill_at) == -signal.SIGKILL
    assert train(tmp_path) == 0
    expected = load_file(whole / "model.safetensors")
    resumed = load_file(tmp_path / "model.safetensors")
    assert expected.keys() == resumed.keys()
    different = [name for name in expected if not expected[name].equal(resumed[name])]
    assert different == []
    for stage in ("stage1", "denoiser"):
        lines = read_lines(whole / stage / "history.jsonl")
        assert [line["step"] for line in lines] == [0, 1, 2, 3]
        assert lines == read_lines(tmp_path / stage / "history.jsonl")


def train_by_two(folder: Path, *arguments: str) -> tuple[list[int | None], list[str]]:
    return by_two([WORKER, folder, *arguments], QUIET | {"ACCELERATE_USE_CPU": "true"}, folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    codes, outcomes = train_by_two(folder, "never")
    assert codes == [0, 0], outcomes
    return folder


@pytest.fixture(scope="module")
def sharded(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = with_first_stage(two, tmp_path_factory.mktemp("sharded") / "model")
    codes, outcomes = train_by_two(folder, "never", "sharded")
    assert codes == [0, 0], outcomes
    return folder


def with_first_stage(source: Path, folder: Path) -> Path:
    """A training whose first stage and latents are done."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("denoiser", "*.safetensors"))
    return folder


def test_two_processes_have_the_loss_curve_of_one(whole: Path, two: Path) -> None:
    same_curves(whole, two)


def test_weights_sharded_over_two_processes_are_those_of_whole_ones(
    whole: Path, two: Path, sharded: Path
) -> None:
    same_curves(whole, sharded)
    expected, found = (load_file(place / "model.safetensors") for place in (two, sharded))
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
def test_sharded_weights_are_killed_and_resumed_bit_for_bit_on_any_number_of_processes(
    two: Path, sharded: Path, tmp_path: Path
) -> None:
    folder = with_first_stage(two, tmp_path / "model")
    codes, outcomes = train_by_two(folder, "denoiser:2", "sharded")
    assert codes == [-signal.SIGKILL] * 2, outcomes
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone)
    codes, outcomes = train_by_two(folder, "never", "sharded")
    assert codes == [0, 0], outcomes
    expected, resumed = (load_file(place / "model.safetensors") for place in (sharded, folder))
    assert all(resumed[name].equal(expected[name]) for name in expected)
    assert train(alone) == 0  # its checkpoint holds whole weights
    same_curves(folder, alone)


def same_curves(whole: Path, tmp_path: Path) -> None:
    for stage in ("stage1", "denoiser"):
        one = read_lines(whole / stage / "history.jsonl")
        two = read_lines(tmp_path / stage / "history.jsonl")
        assert len(one) == len(two)
        for single, double in zip(one, two, strict=True):
            assert double == pytest.approx(single, rel=5e-3, abs=1e-6)  # sums in another order
