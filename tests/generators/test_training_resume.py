"""Training killed and resumed equals training never interrupted; two processes equal one."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from generators.training.history import read_lines

WORKER = Path(__file__).parent / "train_worker.py"
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def train(folder: Path, *, kill_at: str = "never") -> int:
    return subprocess.run(
        [sys.executable, WORKER, folder, kill_at], env=QUIET, capture_output=True, check=False
    ).returncode


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


def test_two_processes_have_the_loss_curve_of_one(whole: Path, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    workers = [
        subprocess.Popen(
            [sys.executable, WORKER, tmp_path, "never"],
            env={**QUIET, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    outcomes = [worker.communicate(timeout=300)[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outcomes
    for stage in ("stage1", "denoiser"):
        one = read_lines(whole / stage / "history.jsonl")
        two = read_lines(tmp_path / stage / "history.jsonl")
        assert len(one) == len(two)
        for single, double in zip(one, two, strict=True):
            assert double == pytest.approx(single, rel=5e-3, abs=1e-6)  # sums in another order
