"""What a ledger holds of a run: its records, their energy, how it was obtained, what it made."""

from collections.abc import Sequence
from pathlib import Path

from audit.errors import BadInput
from audit.ledger_lines import fold, read_all
from audit.result import PhaseRecord, load_result

TRAINING = ("stage1_train", "encode_latents", "denoiser_train", "adapter_train")
GENERATION = ("sampling", "decoding")
BANDS = {
    "counter": (0.95, 1.25),
    "sensor": (0.9, 1.4),
    "mixed": (0.9, 1.4),
    "modelled": (1 / 3, 3.0),
}


def read_records(run: Path) -> tuple[PhaseRecord, ...]:
    """Phases of a run: from its ledger file, which is ahead of result.json while it runs.

    Raises:
        BadInput: The folder has neither.
    """
    file = run / "ledger.jsonl"
    booked = tuple(total.record(phase) for phase, total in fold(read_all(file)).items())
    if booked and not (run / "result.json").is_file():
        return booked
    # What the samples cost where another command made them is in the result alone.
    known = {record.phase for record in booked}
    records = (*(r for r in load_result(run).ledger if r.phase not in known), *booked)
    if not records:
        raise BadInput(f"{run.name} has no ledger", "a run of `voxaudit run` or `score`")
    return records


def energy_of(records: Sequence[PhaseRecord], phases: Sequence[str] | None = None) -> float | None:
    """Known kWh of some phases (or all); None where nothing metered them."""
    parts = [
        kwh
        for record in records
        if phases is None or record.phase in phases
        for kwh in record.energy_kwh.values()
        if kwh is not None
    ]
    return sum(parts) if parts else None


def volumes_made(records: Sequence[PhaseRecord]) -> float:
    """Volumes that the phases of generation finished."""
    used = (r for r in records if r.phase in GENERATION)
    return max((r.work.get("volumes", 0.0) for r in used), default=0.0)


def voxels_per_volume(records: Sequence[PhaseRecord]) -> float | None:
    """Voxels of a decoded volume, over all frames; None where none was decoded."""
    decoded = [r for r in records if r.phase == "decoding" and r.work.get("volumes")]
    if not decoded:
        return None
    return sum(r.work.get("voxels", 0.0) for r in decoded) / sum(r.work["volumes"] for r in decoded)


def meter_quality(records: Sequence[PhaseRecord]) -> str:
    """``counter``, ``sensor``, ``mixed`` or ``modelled``, by how the components were obtained.

    A sensor is read once a second; a counter misses nothing between two readings.
    """
    methods = {m for r in records for m in r.method.values() if not m.startswith("missing")}
    if methods == {"counter"}:
        return "counter"
    if methods and methods <= {"counter", "power_sensor"}:
        return "sensor"
    return "mixed" if methods & {"counter", "power_sensor"} else "modelled"
