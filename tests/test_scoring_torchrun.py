"""Scoring under ``torchrun``: the processes share the work, the first one writes and speaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import audit
from audit.cache import Cache
from audit.cohort import cohort_of, write_cohort
from audit.phantoms import thorax_cohort

ONLY = ("fidelity.frechet_distance", "fidelity.kernel_distance", "fidelity.precision")
ROLES = {"train": 0, "holdout": 1, "synthetic": 2}


def findings(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "result.json").read_text())["findings"]


def test_a_second_process_finds_the_same_numbers_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cohorts = {
        role: cohort_of(role, list(thorax_cohort(5, role=role, seed=seed, size=32)))  # type: ignore[arg-type]
        for role, seed in ROLES.items()
    }
    asked = {"only": ONLY, "extractors": ("intensity",), "cache": Cache(tmp_path / "cache")}
    first = audit.score(**cohorts, **asked, out=tmp_path / "one")  # type: ignore[arg-type]
    assert "[1/3]" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    second = audit.score(**cohorts, **asked, out=tmp_path / "two")  # type: ignore[arg-type]
    assert second.findings == first.findings
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
def test_two_processes_score_as_one_and_print_once(tmp_path: Path) -> None:
    for role, seed in ROLES.items():
        write_cohort(list(thorax_cohort(5, role=role, seed=seed, size=32)), tmp_path / role)
    words = [w for role in ROLES for w in (f"--{role}", str(tmp_path / role))]
    words += [w for name in ONLY for w in ("--only", name)]
    printed = {}
    for world in (1, 2):
        out = tmp_path / f"of-{world}"
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "voxaudit", "score", *words, "--extractor", "intensity",
                 "--out", out],
                env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank),
                     "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
                     "VOXAUDIT_CACHE": str(tmp_path / f"cache-{world}")},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for rank in range(world)
        ]  # fmt: skip
        told = [worker.communicate(timeout=300) for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * world, told
        printed[world] = [out for out, _ in told]
    assert findings(tmp_path / "of-2") == findings(tmp_path / "of-1")
    assert "fidelity.frechet_distance" in printed[2][0]
    assert printed[2][1] == ""
