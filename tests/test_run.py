import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "generators"))
from forked import end, start

CONFIG = """
name: r
device: cpu
data: {phantom: {kind: thorax, train: 8, holdout: 8}}
generators:
  - id: ldm
    kind: ldm
    preset: ldm-tiny
    n: 6
    params: {stage1: {steps: 3, checkpoint_every: 1}, denoiser: {steps: 3, checkpoint_every: 1},
             sampling: {steps: 2}}
  - {id: replay, kind: replay, n: 6}
metrics:
  only: [fidelity.frechet_distance, fidelity.kernel_distance, footprint.*]
  extractors: [intensity]
carbon: {zone: DEU}
"""


@pytest.fixture
def work(tmp_path):
    (tmp_path / "audit.yaml").write_text(CONFIG)
    return tmp_path


def command(work, *arguments):
    return [sys.executable, "-m", "voxaudit", "run", *arguments]


def environment(work):
    return {**os.environ, "VOXAUDIT_CACHE": str(work / "cache"), "OMP_NUM_THREADS": "1"}


def run(work, *arguments):
    return subprocess.run(
        command(work, *arguments),
        cwd=work,
        env=environment(work),
        capture_output=True,
        text=True,
        check=False,
    )


def forked(work, *arguments):
    """The same without the seconds of importing: its exit code and what it printed."""
    said = work / "said"
    said.write_text("")
    words = command(work, *arguments)[1:]
    code = end(start(words, environment(work), said, work))
    return code, said.read_text()


def measured(work, generator):
    """A result without what two runs cannot share: times, energies and the command."""
    result = json.loads((work / "runs/r" / generator / "result.json").read_text())
    result.pop("ledger")
    result["provenance"].pop("command")
    result["findings"] = [f for f in result["findings"] if not f["metric"].startswith("footprint")]
    return result


@pytest.mark.timeout(300)
def test_a_run_trains_samples_scores_reports_and_continues(work):
    code, told = forked(work)
    assert code == 0, told
    folder = work / "runs/r/ldm"
    assert len(list((folder / "synthetic").glob("*.nii.gz"))) == 6
    result = json.loads((folder / "result.json").read_text())
    phases = {r["phase"] for r in result["ledger"]}
    assert {"stage1_train", "encode_latents", "denoiser_train", "sampling", "decoding"} <= phases
    found = {f["metric"]: f for f in result["findings"]}
    assert found["footprint.energy_per_volume"]["value"] > 0
    assert found["footprint.emissions"]["unit"] == "g"
    assert "<html" in (folder / "report.html").read_text()[:200]
    before = measured(work, "ldm")
    code, told = forked(work)
    assert code == 0, told
    assert "training stage1" not in told
    assert measured(work, "ldm") == before
    code, told = forked(work, "--set", "seed=1")
    assert code == 2
    assert "belongs to other data or another seed" in told


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_result(work, tmp_path_factory):
    whole = tmp_path_factory.mktemp("whole")
    (whole / "audit.yaml").write_text(CONFIG)
    begun = time.monotonic()
    assert run(whole).returncode == 0
    duration_s = time.monotonic() - begun
    for share in (0.3, 0.45, 0.6, 0.75, 0.9):
        process = subprocess.Popen(
            command(work), cwd=work, env=environment(work), stderr=subprocess.DEVNULL
        )
        time.sleep(duration_s * share)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run(work).returncode == 0
    for generator in ("ldm", "replay"):
        assert measured(work, generator) == measured(whole, generator)
        same = [(w / "runs/r" / generator / "cases.csv").read_text() for w in (work, whole)]
        assert same[0] == same[1]


def test_a_budget_stops_the_run_and_says_how_to_go_on(work):
    done = run(work, "--max-kwh", "1e-9")
    assert done.returncode == 4
    assert "larger --max-kwh to continue" in done.stderr.splitlines()[-1]
