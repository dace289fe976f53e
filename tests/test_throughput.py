import pytest

from audit.result import PhaseRecord
from audit.throughput import predict, remember


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXAUDIT_CACHE", str(tmp_path))


def test_what_was_never_run_is_unknown_not_zero():
    assert predict("ldm", None, "sample", 4)["time_s"] is None


def test_sampling_scales_with_volumes_and_training_does_not(tmp_path):
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "0.nii.gz").write_bytes(b"x" * 1_000_000)
    remember(
        "ldm",
        "ldm-tiny",
        10,
        [
            PhaseRecord(phase="denoiser_train", duration_s=60, energy_kwh={"cpu": 0.1}),
            PhaseRecord(phase="sampling", duration_s=20, energy_kwh={"cpu": 0.02}),
            PhaseRecord(phase="decoding", duration_s=10, energy_kwh={"cpu": None}),
        ],
        tmp_path,
    )
    assert predict("ldm", "ldm-tiny", "sample", 100)["disk_mb"] == pytest.approx(10)
    assert predict("ldm", "ldm-tiny", "sample", 100)["time_s"] == 300
    assert predict("ldm", "ldm-tiny", "sample", 100)["energy_kwh"] == pytest.approx(0.2)
    assert predict("ldm", "ldm-tiny", "train", 100)["time_s"] == 60


def test_a_damaged_file_is_forgotten(tmp_path):
    (tmp_path / "throughput.json").write_text("{")
    assert predict("ldm", None, "train", 1)["time_s"] is None
