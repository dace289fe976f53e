import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.energy_sources.rapl import RaplSource
from audit.energy_sources.trace import TraceSource
from audit.ledger import BudgetReached, Ledger, open_ledger

ROOT = Path(__file__).parent.parent


class FakeClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def metered(watts=None, **options):
    clock = FakeClock()
    trace = TraceSource([0.0], {k: [v] for k, v in (watts or {"cpu": 100.0}).items()}, clock)
    return Ledger(trace, clock=clock, **options), clock


def by_phase(ledger):
    return {r.phase: r for r in ledger.records()}


def test_energy_is_power_times_time_exactly():
    ledger, clock = metered({"cpu": 100.0, "gpu": 300.0, "ram": 20.0})
    with ledger.phase("sampling"):
        clock.now += 36.0
    record = by_phase(ledger)["sampling"]
    assert record.duration_s == 36.0
    assert record.energy_kwh == {"cpu": 0.001, "gpu": 0.003, "ram": 0.0002}


def test_an_inner_phase_is_not_billed_to_the_outer_one():
    ledger, clock = metered()
    with ledger.phase("sampling"):
        clock.now += 10
        with ledger.phase("decoding"):
            clock.now += 4
        clock.now += 1
    assert by_phase(ledger)["sampling"].duration_s == 11
    assert by_phase(ledger)["decoding"].duration_s == 4


def test_interleaved_phases_add_up():
    ledger, clock = metered()
    for _ in range(5):
        with ledger.phase("sampling"):
            clock.now += 2
        with ledger.phase("decoding"):
            clock.now += 1
    assert [r.duration_s for r in ledger.records()] == [10, 5]


def test_a_phase_that_raises_is_charged():
    ledger, clock = metered()
    with pytest.raises(ZeroDivisionError), ledger.phase("stage1_train"):
        clock.now += 3
        _ = 1 / 0
    assert by_phase(ledger)["stage1_train"].duration_s == 3


def test_missing_energy_is_null_with_a_reason():
    ledger, clock = metered({"cpu": 5.0})
    with ledger.phase("sampling"):
        clock.now += 1
    record = by_phase(ledger)["sampling"]
    assert record.energy_kwh["gpu"] is None
    assert record.method["gpu"] == "missing: not in the trace"


@st.composite
def nestings(draw, depth=0):
    children = st.lists(nestings(depth=depth + 1), max_size=3) if depth < 3 else st.just([])
    return (
        draw(st.sampled_from("abcd")),
        draw(st.floats(0.0, 10.0)),
        draw(children),
        draw(st.floats(0.0, 10.0)),
    )


@settings(max_examples=60, deadline=None)
@given(tree=nestings(), gap=st.floats(0.0, 5.0))
def test_nothing_is_lost_or_counted_twice(tree, gap, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledger")
    ledger, clock = metered({"cpu": 40.0, "gpu": 250.0}, file=folder / "ledger.jsonl")

    def walk(node):
        name, before, children, after = node
        with ledger.phase(name):
            clock.now += before
            for child in children:
                walk(child)
            clock.now += after

    clock.now += gap
    walk(tree)
    ledger.settle()
    records = ledger.records()
    assert sum(r.duration_s for r in records) == pytest.approx(clock.now, abs=1e-9)
    joules = sum(r.energy_kwh["cpu"] + r.energy_kwh["gpu"] for r in records) * 3.6e6
    assert joules == pytest.approx(290.0 * clock.now, rel=1e-9, abs=1e-6)


def test_work_is_booked_to_the_open_phase():
    ledger, clock = metered()
    with ledger.phase("sampling"):
        ledger.work(volumes=1, denoiser_calls=50)
        with ledger.phase("decoding"):
            ledger.work(voxels=8)
        ledger.work(volumes=1)
    assert by_phase(ledger)["sampling"].work == {"volumes": 2, "denoiser_calls": 50}
    assert by_phase(ledger)["decoding"].work == {"voxels": 8}


def test_a_resumed_run_adds_up(tmp_path):
    for _ in range(2):
        ledger, clock = metered(file=tmp_path / "ledger.jsonl")
        with ledger.phase("denoiser_train"):
            clock.now += 7
    record = by_phase(ledger)["denoiser_train"]
    assert (record.duration_s, record.attempts) == (14, 2)
    assert record.energy_kwh["cpu"] == pytest.approx(1400 / 3.6e6)


def test_a_line_cut_in_half_by_a_kill_is_left_out(tmp_path):
    file = tmp_path / "ledger.jsonl"
    ledger, clock = metered(file=file)
    with ledger.phase("sampling"):
        clock.now += 7
    file.write_text(file.read_text() + '{"phase": "sampl')
    assert by_phase(Ledger(file=file))["sampling"].duration_s == 7


PROCESS = """
import sys, time
from pathlib import Path
from audit.energy_sources.trace import TraceSource
from audit.ledger import open_ledger
source = TraceSource([time.monotonic()], {"gpu": [100.0]}, time.monotonic)
with open_ledger(Path(sys.argv[1]), source=source, heartbeat_s=0.1) as ledger:
    for _ in range(int(sys.argv[2])):
        with ledger.phase("sampling"):
            time.sleep(0.15)
            ledger.work(volumes=1, denoiser_calls=50)
"""


def run_ranks(folder, ranks, volumes):
    """Processes as torchrun starts them; each rank is (RANK, LOCAL_RANK)."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(folder), str(volumes)],
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(local),
                "PYTHONPATH": str(ROOT),
            },
        )
        for rank, local in ranks
    ]
    assert [process.wait(60) for process in started] == [0] * len(ranks)
    return by_phase(Ledger(file=folder / "ledger.jsonl"))["sampling"]


def test_two_processes_of_a_node_do_the_work_of_one_and_are_metered_once(tmp_path):
    one = run_ranks(tmp_path / "one", [(0, 0)], 8)
    two = run_ranks(tmp_path / "two", [(0, 0), (1, 1)], 4)
    assert two.work == one.work == {"volumes": 8, "denoiser_calls": 400}
    assert two.energy_kwh["gpu"] * 3.6e6 == pytest.approx(100 * two.duration_s, rel=0.01)
    assert two.duration_s < 0.9 * one.duration_s
    assert two.attempts == one.attempts == 1


def test_energies_of_two_nodes_add_up_and_their_time_does_not(tmp_path):
    found = run_ranks(tmp_path, [(0, 0), (1, 1), (2, 0), (3, 1)], 2)
    assert found.work["volumes"] == 8
    joules = found.energy_kwh["gpu"] * 3.6e6
    assert 1.3 * 100 * found.duration_s < joules < 3 * 100 * found.duration_s


def test_other_ranks_do_not_meter_and_book_their_work(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    with open_ledger(tmp_path) as ledger:
        with ledger.phase("sampling"):
            ledger.work(volumes=2)
        with ledger.phase("decoding"):
            pass
    assert not (tmp_path / "ledger.jsonl").exists()
    lines = [json.loads(x) for x in (tmp_path / "ledger.rank3.jsonl").read_text().splitlines()]
    assert [(x["phase"], x["duration_s"], x["energy_j"]) for x in lines] == [("sampling", 0.0, {})]


def test_a_line_cut_in_half_does_not_spoil_the_next_one(tmp_path):
    file = tmp_path / "ledger.jsonl"
    file.write_text('{"phase": "sampl')
    ledger, clock = metered(file=file)
    with ledger.phase("sampling"):
        clock.now += 7
    assert by_phase(Ledger(file=file))["sampling"].duration_s == 7


def test_a_sum_is_as_good_as_its_worst_part(tmp_path):
    file = tmp_path / "ledger.jsonl"
    for source in ("counter", "load_model", "counter"):
        ledger, clock = metered(file=file)
        ledger.source.methods["cpu"] = source
        with ledger.phase("sampling"):
            clock.now += 1
    assert by_phase(Ledger(file=file))["sampling"].method["cpu"] == "load_model"


def test_a_phase_is_not_billed_for_the_memory_of_the_one_before():
    ledger = Ledger()
    with ledger.phase("denoiser_train"):
        block = bytearray(300_000_000)
        del block
    with ledger.phase("sampling"):
        pass
    peaks = {r.phase: r.peak_memory_bytes["host"] for r in ledger.records()}
    assert peaks["denoiser_train"] > peaks["sampling"] + 200_000_000


def test_the_budget_stops_between_samples_and_says_how_to_go_on():
    ledger, clock = metered({"cpu": 3600.0}, budget_kwh=0.010)
    with pytest.raises(BudgetReached, match="larger --max-kwh to continue"):
        for _ in range(100):
            with ledger.phase("sampling"):
                clock.now += 1
            ledger.check_budget()
    assert by_phase(ledger)["sampling"].duration_s == 10


def test_two_gpus_cost_twice_one():
    one, clock_one = metered({"gpu": 300.0})
    two, clock_two = metered({"gpu": 600.0})
    for ledger, clock in ((one, clock_one), (two, clock_two)):
        with ledger.phase("sampling"):
            clock.now += 9
    assert (
        by_phase(two)["sampling"].energy_kwh["gpu"]
        == 2 * by_phase(one)["sampling"].energy_kwh["gpu"]
    )


def test_a_counter_that_wraps_many_times_loses_nothing_with_heartbeats(tmp_path):
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    (package / "max_energy_range_uj").write_text("1000000")
    counter = package / "energy_uj"
    counter.write_text("0")
    source = RaplSource(tmp_path)
    ledger = Ledger(source)
    with ledger.phase("stage1_train"):
        for step in range(1, 41):  # 0.4 J a heartbeat on a counter that wraps at 1 J
            counter.write_text(str(step * 400_000 % 1_000_000))
            ledger.settle()
    joules = by_phase(ledger)["stage1_train"].energy_kwh["cpu"] * 3.6e6
    assert joules == pytest.approx(16.0)


HOSTILE = (
    "[codecarbon]\nsave_to_api=true\noutput_methods=api\nco2_signal_api_token=x\n"
    "electricitymaps_api_token=x\nemissions_endpoint=http://example.org\npue=9\n"
)


def test_the_real_meter_makes_no_network_call_whatever_the_environment_says(tmp_path):
    """Configuration in the working and home folder, variables, and SLURM without scontrol."""
    for folder in ("work", "home"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".codecarbon.config").write_text(HOSTILE)
    code = """
import socket, sys, time
def trap(*a, **k):
    sys.stderr.write("network call")
    raise SystemExit("network call")
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, trap)
socket.getaddrinfo = socket.create_connection = trap
from pathlib import Path
from audit.ledger import open_ledger
with open_ledger(Path(sys.argv[1]), heartbeat_s=0.2) as ledger:
    for phase in ("stage1_train", "sampling", "decoding"):
        with ledger.phase(phase):
            time.sleep(0.3)
    record = [r for r in ledger.records() if r.phase == "sampling"][0]
assert record.energy_kwh["ram"] > 0, record
assert record.method["ram"] in ("constant", "counter"), record
assert record.energy_kwh["ram"] * 3.6e6 < 100 * record.duration_s, record  # no PUE of 9
print("ok")
"""
    hostile = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "CODECARBON_SAVE_TO_API": "True",
        "codecarbon_output_methods": "api",
        "CODECARBON_EMISSIONS_ENDPOINT": "http://example.org",
        "CODECARBON_CO2_SIGNAL_API_TOKEN": "x",
        "CODECARBON_TELEMETRY": "enabled",
        "CODECARBON_PUE": "9",
        "SLURM_JOB_ID": "7",
        "SLURM_JOBID": "7",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=tmp_path / "work",
        env=hostile,
        check=False,
    )
    assert done.stdout.strip() == "ok", done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_loses_one_heartbeat_at_most(kill, tmp_path):
    code = """
import sys, time
from pathlib import Path
from audit.energy_sources.trace import TraceSource
from audit.ledger import open_ledger
source = TraceSource([time.monotonic()], {"cpu": [100.0]}, time.monotonic)
with open_ledger(Path(sys.argv[1]), source=source, heartbeat_s=0.1) as ledger:
    with ledger.phase("denoiser_train"):
        print("go", flush=True)
        time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process.stdout:
        process.stdout.readline()
        start = time.monotonic()
        time.sleep(1.5)
        process.send_signal(kill)
        elapsed = time.monotonic() - start
        process.wait()
    record = by_phase(Ledger(file=tmp_path / "ledger.jsonl"))["denoiser_train"]
    assert record.duration_s > elapsed - 1.0  # generous: the machine may be busy
    assert record.energy_kwh["cpu"] * 3.6e6 == pytest.approx(100 * record.duration_s, rel=0.02)


def test_the_schema_of_a_line_is_stable(tmp_path):
    ledger, clock = metered(file=tmp_path / "ledger.jsonl")
    with ledger.phase("sampling"):
        clock.now += 1
        ledger.work(volumes=1)
    line = json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[-1])
    assert set(line) == {
        "phase", "attempt", "rank", "duration_s", "energy_j", "method", "host", "work",
        "peak_memory_bytes",
    }  # fmt: skip
    assert line["energy_j"] == {"cpu": 100.0, "gpu": None, "ram": None}


def test_sockets_are_not_needed_to_import_the_ledger(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("network"))
    Ledger().settle()
