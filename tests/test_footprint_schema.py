"""Golden files: what a line of ledger.jsonl and `footprint --json` hold does not change unseen.

Where a change is meant: ``python tests/test_footprint_schema.py`` writes them anew; say why in the
commit.
"""

import json
import sys
from pathlib import Path

import pytest

from audit.energy_sources.trace import TraceSource
from audit.ledger import Ledger
from audit.projection import project

GOLDEN = Path(__file__).parent / "reference" / "footprint"
ASKED = {
    "zone": "DEU",
    "pue": 1.2,
    "volumes": 1000,
    "training_steps": 600,
    "scenarios": ("steps=100,size=2x", "model=2x,devices=4"),
}


def write_ledger(folder):
    """A small training and 12 volumes at invented power, on an invented clock."""
    now = {"s": 0.0}
    clock = lambda: now["s"]  # noqa: E731
    source = TraceSource([0.0], {"gpu": [300.0], "cpu": [60.0]}, clock)
    ledger = Ledger(source, clock=clock, file=folder / "ledger.jsonl")
    for _ in range(12):
        with ledger.phase("denoiser_train"):
            now["s"] += 5
            ledger.work(steps=5, volumes=20)
    for index in range(12):
        with ledger.phase("sampling"):
            now["s"] += 2 + 0.01 * (index % 3)
            ledger.work(volumes=1, denoiser_calls=50, flops=7e9)
        with ledger.phase("decoding"):
            now["s"] += 0.5
            ledger.work(volumes=1, voxels=32768, flops=2e9)


def without_machine(text):
    """Lines as they are everywhere: process, machine and its memory are set to fixed values."""
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert line["attempt"].count("-") == 1
        assert len(line["host"]) == 12
        assert line["peak_memory_bytes"]["host"] > 0
        line |= {"attempt": "1-1", "host": "000000000000"}
        line["peak_memory_bytes"] = {"host": 2**30, "device": None}
    return lines


def test_a_ledger_is_written_as_it_was(tmp_path):
    write_ledger(tmp_path)
    expected = [json.loads(x) for x in (GOLDEN / "ledger.jsonl").read_text().splitlines()]
    assert without_machine((tmp_path / "ledger.jsonl").read_text()) == expected


def test_footprint_json_is_what_it_was():
    assert_alike(project(GOLDEN, **ASKED), json.loads((GOLDEN / "footprint.json").read_text()))


def assert_alike(found, expected, place="footprint"):
    """Equal keys, words and counts; numbers to nine digits."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), place
        for key, value in expected.items():
            assert_alike(found[key], value, f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for index, value in enumerate(expected):
            assert_alike(found[index], value, f"{place}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9), place
    else:
        assert found == expected, place


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_ledger(Path(folder))
        lines = without_machine((Path(folder) / "ledger.jsonl").read_text())
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = json.dumps(project(GOLDEN, **ASKED), indent=1, sort_keys=True)
    (GOLDEN / "footprint.json").write_text(told + "\n")
    sys.stdout.write(f"{GOLDEN}\n")
