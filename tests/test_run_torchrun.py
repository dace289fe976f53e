"""``voxaudit run`` under ``torchrun``: all processes train and sample, the first one writes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.errors import RunBroken
from voxaudit.first_process import wait_until

CONFIG = """
name: r
device: cpu
data: {phantom: {kind: thorax, train: 8, holdout: 8}}
replicates: 2
generators:
  - id: ldm
    kind: ldm
    preset: ldm-tiny
    n: 5
    params: {stage1: {steps: 2}, denoiser: {steps: 2, keep_every: 2}, sampling: {steps: 2}}
  - {id: replay, kind: replay, n: 4}
metrics:
  only: [fidelity.frechet_distance]
  extractors: [intensity]
"""


def test_what_the_first_process_never_writes_is_waited_for_in_vain() -> None:
    with pytest.raises(RunBroken, match=r"the list did not come.*run the same command again"):
        wait_until(lambda: False, "the list", patience_s=0)


def test_waiting_ends_when_it_is_there() -> None:
    answers: Iterator[bool] = iter([False, True])
    wait_until(lambda: next(answers), "the list")
    assert next(answers, None) is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_sample_and_report_once_and_continue(tmp_path: Path) -> None:
    (tmp_path / "audit.yaml").write_text(CONFIG)
    first, again = by_two(tmp_path, "--checkpoints"), by_two(tmp_path, "--checkpoints")
    run = tmp_path / "runs/r"
    for generator, n in (("ldm", 5), ("replay", 4)):
        result = json.loads((run / generator / "result.json").read_text())
        assert result["status"] == "ok"
        assert {f["status"] for f in result["findings"]} == {"ok"}
        assert len((run / generator / "synthetic/cohort.csv").read_text().splitlines()) == 1 + n
        assert (run / generator / "replicates/seed-1/result.json").is_file()
        assert (run / generator / "report.html").is_file()
        assert first.stdout.count(f"report: runs/r/{generator}/report.html") == 1
    assert "denoiser-0000002" in (run / "ldm/curve.csv").read_text()
    assert (run.parent / "latest").is_file()
    assert first.stderr.count("training stage1") >= 1
    assert "training stage1" not in again.stderr


def by_two(work: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """``voxaudit run`` by two processes of ``torchrun`` on the CPU."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "voxaudit", "run", *words],
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
             "VOXAUDIT_CACHE": str(work / "cache")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done
