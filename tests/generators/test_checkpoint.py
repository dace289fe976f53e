"""Checkpoints: atomic, and never executed."""

import pickle
from pathlib import Path

import pytest
import torch

from audit.errors import BadInput
from generators.checkpoint import read_checkpoint, write_checkpoint


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_a_checkpoint_reads_back(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.ckpt", {"step": 3, "weights": torch.arange(3)})
    state = read_checkpoint(tmp_path / "a.ckpt")
    assert state["step"] == 3
    assert state["weights"].tolist() == [0, 1, 2]


def test_a_failed_write_leaves_the_previous_file(tmp_path: Path) -> None:
    file = tmp_path / "a.ckpt"
    write_checkpoint(file, {"step": 1})
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        write_checkpoint(file, {"step": lambda: None})
    assert read_checkpoint(file)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_code_in_a_checkpoint_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"x": Harmful()}, tmp_path / "bad.ckpt")
    with pytest.raises(BadInput, match="never run"):
        read_checkpoint(tmp_path / "bad.ckpt")
    assert "executed" not in capsys.readouterr().out


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cut.ckpt"
    write_checkpoint(file, {"weights": torch.zeros(1000)})
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(BadInput, match="cannot be read as a checkpoint"):
        read_checkpoint(file)
