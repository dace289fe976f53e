"""codecarbon as a meter: its own code over invented counters, and what we read of its insides."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def joules(tmp_path, mode="counters", **environment):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/codecarbon_worker.py"), str(tmp_path), mode],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    records = {r["phase"]: r for r in json.loads(done.stdout)}
    spent = {
        phase: {c: None if e is None else e * 3.6e6 for c, e in r["energy_kwh"].items()}
        for phase, r in records.items()
    }
    return records, spent


def test_energy_is_power_times_time_on_two_gpus_and_two_packages(tmp_path):
    records, spent = joules(tmp_path)
    for phase, seconds in (("denoiser_train", 400), ("sampling", 8), ("decoding", 2)):
        assert records[phase]["duration_s"] == pytest.approx(seconds)
        assert spent[phase]["gpu"] == pytest.approx(350 * seconds, rel=1e-4)
        assert spent[phase]["cpu"] == pytest.approx(200 * seconds, rel=1e-4)
        assert records[phase]["method"]["gpu"] == "counter"
        assert records[phase]["method"]["cpu"] == "counter"
        assert records[phase]["method"]["ram"] == "constant"
        assert len(records[phase]["hosts"]) == 1


def test_the_visible_gpu_is_billed_and_without_a_counter_it_is_a_power_sensor(tmp_path):
    records, spent = joules(tmp_path, "no_counter", CUDA_VISIBLE_DEVICES="1")
    assert records["sampling"]["method"]["gpu"] == "power_sensor"
    assert spent["sampling"]["gpu"] == pytest.approx(50 * 8, rel=0.01)


def test_what_we_read_of_codecarbon_is_still_there():
    """Pinned to 3.3.2: private names, fields of a task's data, and the table of intensities."""
    from importlib.metadata import version

    from codecarbon import emissions_tracker
    from codecarbon.core.gpu_device import GPUDevice
    from codecarbon.external.hardware import CPU, GPU
    from codecarbon.output import EmissionsData

    from audit.carbon import annual_intensities

    assert version("codecarbon") == "3.3.2"
    assert hasattr(emissions_tracker, "get_hierarchical_config")
    assert {"cpu_energy", "gpu_energy", "ram_energy"} <= set(EmissionsData.__dataclass_fields__)
    assert {CPU.__name__, GPU.__name__} == {"CPU", "GPU"}
    assert "_has_counter" in GPUDevice.__post_init__.__code__.co_names
    assert annual_intensities()["DEU"].sha256 == (
        "8f1053800210aa07cc6019cc422b0d34f47dd092f6351dd873445c2b8199a107"
    )


def test_without_an_answer_energy_is_missing_with_its_reason_and_the_run_goes_on():
    from audit.energy_sources.codecarbon_offline import CodecarbonSource
    from audit.ledger import Ledger

    source = CodecarbonSource()
    ledger = Ledger(source)
    with ledger.phase("sampling"):
        ledger.settle()
        stop, source._tracker.stop_task = source._tracker.stop_task, lambda _: None
        ledger.settle()
        source._tracker.stop_task = stop
    source.close()
    record = ledger.records()[0]
    assert record.energy_kwh == {"cpu": None, "gpu": None, "ram": None}
    assert record.method["ram"] == "missing: codecarbon gave no energy for a task"


@pytest.mark.parametrize(
    ("counts", "status", "said"),
    [
        (True, "OK", "joules of 2 GPUs"),
        (False, "WARN", "no energy counter"),
        (None, "WARN", "not 0"),
    ],
)
def test_the_doctor_says_whether_gpus_count_their_joules(monkeypatch, counts, status, said):
    import pynvml

    from audit.doctor import _nvml

    def energy(_):
        if not counts:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 1

    def init():
        if counts is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", init)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda i: i)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", energy)
    check = _nvml()
    assert check.status == status
    assert said in check.message


@pytest.mark.parametrize(("mode", "status"), [(0o444, "OK"), (None, "WARN")])
def test_the_doctor_says_whether_the_cpu_counts_its_joules(monkeypatch, tmp_path, mode, status):
    from audit import doctor

    if mode is not None:
        (tmp_path / "intel-rapl:0").mkdir()
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("1")
    monkeypatch.setattr(doctor, "POWERCAP", tmp_path)
    assert doctor._rapl().status == status
