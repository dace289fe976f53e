import json
import subprocess
import sys
from pathlib import Path

import pytest

from audit.energy_sources.trace import TraceSource
from audit.errors import BadInput
from audit.footprint import read_records
from audit.ledger import Ledger
from audit.ledger_lines import read_lines
from audit.projection import project, what_if
from audit.work_costs import pieces_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(tmp_path):
    """20 volumes at 100 W: 3 s of sampling and 1 s of decoding each, after 60 s of training."""
    now = {"s": 0.0}
    clock = lambda: now["s"]  # noqa: E731
    source = TraceSource([0.0], {"gpu": [100.0]}, clock)
    ledger = Ledger(source, clock=clock, file=tmp_path / "ledger.jsonl")
    with ledger.phase("denoiser_train"):
        now["s"] += 60
        ledger.work(steps=30)
    for _ in range(20):
        with ledger.phase("sampling"):
            now["s"] += 3
            ledger.work(volumes=1, denoiser_calls=50)
        with ledger.phase("decoding"):
            now["s"] += 1
            ledger.work(volumes=1)
    return tmp_path


def test_a_run_is_projected_onto_a_grid(run):
    found = project(run, zone="DEU", pue=1.5)
    kwh = 100 * (60 + 80) / 3.6e6
    assert found["energy_kwh"] == pytest.approx(kwh)
    assert found["emissions_g"] == pytest.approx(kwh * 1.5 * 380.95, rel=1e-4)
    assert found["meter"] == "sensor"


def test_break_even_and_extrapolation_follow_from_the_units(run):
    found = project(run, zone="DEU", volumes=1000)
    assert found["break_even_volumes"] == pytest.approx(15.0)
    more = found["extrapolated"][0]
    assert more["energy_kwh"] == pytest.approx(1000 * 400 / 3.6e6)
    assert more["scale"] == 50
    assert more["low_kwh"] <= more["energy_kwh"] <= more["high_kwh"]


def test_decoding_belongs_to_the_volume_before_it(run):
    pieces = pieces_of(read_lines(run / "ledger.jsonl"), ("sampling", "decoding"), "volumes")
    assert pieces.units.tolist() == [1] * 20
    assert pieces.kwh == pytest.approx([400 / 3.6e6] * 20)
    assert pieces.seconds == 80


def line(phase, joules, work, rank=0):
    return {"phase": phase, "rank": rank, "duration_s": 1.0, "energy_j": {"gpu": joules},
            "work": work}  # fmt: skip


def test_a_heartbeat_in_a_batch_belongs_to_that_batch():
    lines = [
        line("sampling", 10, {"volumes": 2}),
        line("decoding", 1, {"volumes": 2}),
        line("sampling", 6, {}),  # a heartbeat
        line("sampling", 4, {"volumes": 2}),
        line("decoding", 1, {}),
    ]
    pieces = pieces_of(lines, ("sampling", "decoding"), "volumes")
    assert (pieces.kwh * 3.6e6).tolist() == pytest.approx([11, 11])


def test_processes_on_one_meter_share_its_energy():
    lines = [line("sampling", 10, {"volumes": 1})] * 8
    others = [{**line("sampling", 0, {"volumes": 1}, rank=1), "energy_j": {}}] * 8
    pieces = pieces_of([*lines, *others], ("sampling",), "volumes")
    assert (pieces.kwh * 3.6e6).tolist() == pytest.approx([5] * 8)


def test_without_a_zone_energy_is_kept_and_carbon_is_none(run):
    found = project(run)
    assert found["emissions_g"] is None
    assert found["energy_kwh"] > 0


def test_every_zone_is_one_line_and_ratios_are_of_intensities(run):
    rows = what_if(run)
    assert rows[0]["ratio_to_lowest"] == 1
    assert rows[-1]["ratio_to_lowest"] == pytest.approx(65.3, abs=0.1)
    assert rows[-1]["emissions_g"] / rows[0]["emissions_g"] == pytest.approx(
        rows[-1]["ratio_to_lowest"]
    )


def test_a_folder_without_a_ledger_is_told(tmp_path):
    with pytest.raises(BadInput, match=r"no result.json"):
        read_records(tmp_path)


def test_the_command_prints_emissions_as_json(run):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "voxaudit",
            "footprint",
            str(run),
            "--zone",
            "FRA",
            "--json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["emissions_g"] == pytest.approx(
        100 * 140 / 3.6e6 * 56.0, rel=0.01
    )


def test_a_monthly_table_reprojects_without_a_new_run(run, tmp_path):
    table = tmp_path / "my.csv"
    table.write_text("zone,period,g_per_kwh\nFRA,2026-01,60\nFRA,2026-07,40\n")
    done = [
        subprocess.run(
            [
                sys.executable, "-m", "voxaudit", "footprint", str(run), "--zone", "FRA",
                "--month", month, "--intensities", str(table), "--json",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        for month in ("2026-01", "2026-07")
    ]  # fmt: skip
    january, july = (json.loads(d.stdout)["emissions_g"] for d in done)
    assert january / july == pytest.approx(1.5)


def test_the_cost_of_samples_made_before_comes_with_them(run, tmp_path_factory, monkeypatch):
    """`voxaudit sample` leaves its ledger with the samples; `voxaudit score` reads it."""
    from audit.cohort import write_cohort
    from audit.phantoms import thorax_cohort
    from audit.scoring import score

    monkeypatch.setenv("VOXAUDIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    out = tmp_path_factory.mktemp("scored")
    write_cohort(thorax_cohort(2, role="synthetic", seed=2), run)
    (run / ".samples").mkdir()
    (run / "ledger.jsonl").rename(run / ".samples" / "ledger.jsonl")
    result = score(
        train=thorax_cohort(2, role="train", seed=0),
        holdout=thorax_cohort(2, role="holdout", seed=1),
        synthetic=run,
        only=("footprint.*",),
        extractors=("intensity",),
        out=out,
    )
    assert result["footprint.denoiser_calls_per_volume"].value == 50
    assert result["footprint.energy_per_volume"].value == pytest.approx(400 / 3600)
    assert result["footprint.scenarios[steps=2x]"].value == pytest.approx(700 / 3600)
    assert "power_sensor" in result["footprint.counted_energy_per_volume"].reason
    assert {r.phase for r in result.ledger} >= {"sampling", "decoding"}
    assert project(out)["energy_per_volume_kwh"] == pytest.approx(400 / 3.6e6)


def test_counted_energy_has_an_interval_over_batches(run, tmp_path_factory):
    lines = (run / "ledger.jsonl").read_text()
    counted = tmp_path_factory.mktemp("counted")
    (counted / "ledger.jsonl").write_text(
        lines.replace('"power_sensor"', '"counter"').replace('"host": ""', '"host": "a"')
    )
    from types import SimpleNamespace

    from audit.ledger_lines import fold, read_all
    from audit.metrics.footprint.counted_energy_per_volume import compute

    found = read_all(counted / "ledger.jsonl")
    comparison = SimpleNamespace(
        ledger_lines=lambda: found,
        ledger_records=lambda: [t.record(p) for p, t in fold(found).items()],
    )
    measured = compute(comparison, None)
    assert measured.estimate.value == pytest.approx(400 / 3600)
    assert (measured.estimate.low, measured.estimate.high) == pytest.approx((400 / 3600,) * 2)
    assert measured.params["components"] == "gpu"
    assert measured.params["metered_s"] == 80
    assert measured.params["host"]
