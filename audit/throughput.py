"""What earlier runs on this machine took, so that ``run --dry-run`` can say what to expect."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.cache import default_cache
from audit.footprint import GENERATION, TRAINING, energy_of
from audit.result import PhaseRecord, write_text

STEPS = {"train": TRAINING, "sample": GENERATION}
PLACES = {"train": "model", "sample": "synthetic", "score": "parts", "report": "report.html"}


def remember(
    kind: str, preset: str | None, n: int, records: Sequence[PhaseRecord], folder: Path
) -> None:
    """Keep time, energy and disk of a finished run, per generator and preset.

    Args:
        kind: Generator.
        preset: Its recipe.
        n: Volumes that were sampled.
        records: The run's ledger.
        folder: The run's folder.
    """
    known = _read()
    rows = {}
    for step in ("train", "sample", "score", "report"):
        used = [r for r in records if _belongs(r.phase, step)]
        duration_s = sum(r.duration_s for r in used)
        if duration_s:
            rows[step] = {
                "duration_s": duration_s,
                "energy_kwh": energy_of(used),
                "volumes": n,
                "disk_mb": _size_mb(folder / PLACES[step]),
            }
    known.setdefault(_machine(), {}).setdefault(f"{kind}/{preset or ''}", {}).update(rows)
    write_text(_file(), json.dumps(known, indent=1, sort_keys=True))


def predict(kind: str, preset: str | None, step: str, n: int) -> dict[str, Any]:
    """Expected time, energy and disk of a step; None with a word where nothing is known.

    Sampling and scoring scale with the number of volumes; training is taken as it was.
    """
    row = _read().get(_machine(), {}).get(f"{kind}/{preset or ''}", {}).get(step)
    if row is None:
        return {
            "time_s": None,
            "energy_kwh": None,
            "disk_mb": None,
            "basis": "not run here before",
        }
    factor = n / row["volumes"] if step in ("sample", "score") and row["volumes"] else 1.0
    energy = row["energy_kwh"]
    return {
        "time_s": round(row["duration_s"] * factor, 1),
        "energy_kwh": None if energy is None else energy * factor,
        "disk_mb": round(row["disk_mb"] * factor, 1),
        "basis": f"a run of {row['volumes']} volumes on this machine",
    }


def _belongs(phase: str, step: str) -> bool:
    if step in STEPS:
        return phase in STEPS[step]
    if step == "report":
        return phase == "audit.report"
    return phase.startswith("audit.") and phase != "audit.report"


def _size_mb(place: Path) -> float:
    files = [place] if place.is_file() else place.rglob("*")
    return sum(f.stat().st_size for f in files if f.is_file()) / 1e6


def _machine() -> str:
    return f"{platform.machine()}-{os.cpu_count()}-{platform.processor() or 'cpu'}"


def _file() -> Path:
    return default_cache().root / "throughput.json"


def _read() -> dict[str, Any]:
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
