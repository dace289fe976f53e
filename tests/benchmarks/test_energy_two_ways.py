"""One run measured both ways: voxaudit's ledger inside, codecarbon's decorator around the whole.

``pytest -m benchmark -s tests/benchmarks/test_energy_two_ways.py`` prints the table of
docs/carbon.md. A second run is killed in the middle, to see what each way has left.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CONFIG = """
name: r
device: cpu
data: {phantom: {kind: thorax, train: 8, holdout: 8}}
generators:
  - {id: ldm, kind: ldm, preset: ldm-tiny, n: 8,
     params: {stage1: {steps: 10}, denoiser: {steps: 20}, sampling: {steps: 10}}}
metrics: {only: [fidelity.kernel_distance, footprint.*], extractors: [intensity]}
"""
SCRIPT = """
from codecarbon import track_emissions

@track_emissions(offline=True, country_iso_code="DEU", output_dir=".", log_level="critical")
def whole():
    from audit.config import read_config
    from voxaudit.run import run_all
    from pathlib import Path
    run_all(read_config(Path("audit.yaml")))

whole()
"""


def start(folder):
    (folder / "audit.yaml").write_text(CONFIG)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "VOXAUDIT_CACHE": str(folder / "cache"),
        "CODECARBON_LOG_LEVEL": "critical",
    }
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_one_run_both_ways(tmp_path):
    import pandas as pd

    from audit.footprint import energy_of, read_records

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    begun = time.monotonic()
    assert start(whole).wait() == 0
    elapsed = time.monotonic() - begun
    records = read_records(whole / "runs/r/ldm")
    print(f"\nledger: {len(records)} phases, {energy_of(records):.3g} kWh")
    for r in records:
        known = {c: f"{e:.2g}" for c, e in r.energy_kwh.items() if e is not None}
        print(f"  {r.phase:26} {r.duration_s:7.1f} s {energy_of([r]):.2g} kWh {known} {r.method}")
    row = pd.read_csv(whole / "emissions.csv").iloc[-1]
    columns = ["duration", "energy_consumed", "cpu_energy", "gpu_energy", "ram_energy"]
    print("decorator:", {c: float(f"{row[c]:.3g}") for c in columns}, row["tracking_mode"])
    assert abs(sum(r.duration_s for r in records) - row["duration"]) < 0.2 * row["duration"]

    process = start(killed)
    time.sleep(0.6 * elapsed)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = (killed / "runs/r/ldm/ledger.jsonl").read_text().splitlines()
    seconds = sum(json.loads(line)["duration_s"] for line in lines)
    left = "a file" if (killed / "emissions.csv").exists() else "nothing"
    print(f"killed after {0.6 * elapsed:.0f} s: ledger holds {seconds:.0f} s, decorator {left}")
    assert seconds > 0
    assert not (killed / "emissions.csv").exists()
