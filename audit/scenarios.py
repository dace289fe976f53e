"""What a run would take with another model, image size, number of steps or of devices.

Pure functions of the ledger's records. Every row has an interval and says what it rests on: the
band of the meter, times what the scenario itself leaves open. Nothing here was measured at the new
size; where a budget hangs on it, measure a part of it there.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.errors import BadInput, NotComputable, did_you_mean
from audit.footprint import (
    BANDS,
    GENERATION,
    TRAINING,
    energy_of,
    meter_quality,
    volumes_made,
    voxels_per_volume,
)
from audit.result import PhaseRecord

LEAST_EFFICIENCY = 0.7
KEYS = ("steps", "model", "size", "devices")
EXAMPLES = ("steps=2x", "model=2x", "size=2x", "devices=4")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Ratios to what was measured.

    Attributes:
        text: As the user wrote it.
        steps: Denoiser calls per volume.
        model: FLOPs of a denoiser call at the same image size.
        voxels: Voxels of an image.
        devices: Devices that share the work.
    """

    text: str
    steps: float = 1.0
    model: float = 1.0
    voxels: float = 1.0
    devices: int = 1


def parse_scenario(text: str, records: Sequence[PhaseRecord]) -> Scenario:
    """Read ``steps=250,model=4x,size=2x,devices=8``; absolute values are held against the run's.

    ``steps`` is a number of denoiser calls or a ratio (``2x``); ``model`` is a ratio of FLOPs;
    ``size`` is a ratio along each axis (``2x``: eight times the voxels of a 3D image) or a shape
    (``512x512x256``); ``devices`` is a number.

    Raises:
        BadInput: An unknown key, or a value that cannot be read.
        NotComputable: An absolute value, and the ledger lacks what it is held against.
    """
    ratios: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in KEYS or not equals:
            raise BadInput(f"scenario '{text}' says '{part}'", did_you_mean(key, KEYS), _HELP)
        if key == "steps":
            ratios["steps"] = _ratio(value) or _steps(value, records)
        elif key == "size":
            edge = _ratio(value)
            ratios["voxels"] = edge**3 if edge else _voxels(value, records)
        elif key == "devices":
            if not re.fullmatch(r"[1-9]\d*", value):
                raise BadInput(f"devices is '{value}'", "a whole number from 1", _HELP)
            ratios["devices"] = int(value)
        else:
            ratios["model"] = _ratio(value) or _wrong(key, value, "a ratio such as 4x")
    return Scenario(text=text, **ratios)


def scenario_rows(
    records: Sequence[PhaseRecord], scenario: Scenario, *, volumes: int
) -> list[dict[str, Any]]:
    """Energy and time of the training and of ``volumes`` samples under a scenario.

    Returns:
        One row for each of the two that the ledger holds: ``what``, ``energy_kwh``, ``low_kwh``,
        ``high_kwh``, ``time_h`` and ``basis``.
    """
    rows = []
    trained = _phases_kwh(records, TRAINING)
    if trained:
        low, high = _ends(scenario, trained)
        rows.append(_row(records, scenario, "training as it was", TRAINING, (low, high), 1.0))
    made = volumes_made(records)
    sampled = _phases_kwh(records, GENERATION)
    if made and sampled:
        low, high = _ends(scenario, sampled)
        what = f"{volumes} volumes"
        rows.append(_row(records, scenario, what, GENERATION, (low, high), volumes / made))
    if not rows:
        raise NotComputable("no energy of training or sampling is known", "a metered run")
    return rows


def _row(
    records: Sequence[PhaseRecord],
    scenario: Scenario,
    what: str,
    phases: Sequence[str],
    ends: tuple[float, float],
    repeats: float,
) -> dict[str, Any]:
    used = [r for r in records if r.phase in phases]
    quality = meter_quality(used)
    below, above = BANDS[quality]
    least, most = (end * repeats for end in ends)
    spent = energy_of(used) or 0.0
    # Both ends are bounds; the point is their geometric mean, which is exact where they agree.
    point = math.sqrt(least * most)
    seconds = sum(r.duration_s for r in used) * point / spent / scenario.devices
    overhead = 1.0 if scenario.devices == 1 else 1 / LEAST_EFFICIENCY
    return {
        "scenario": scenario.text,
        "what": what,
        "energy_kwh": point,
        "low_kwh": least * below,
        "high_kwh": most * above * overhead,
        "time_h": seconds / 3600,
        "basis": _basis(scenario, quality, phases is GENERATION),
    }


def _phases_kwh(records: Sequence[PhaseRecord], phases: Sequence[str]) -> dict[str, float]:
    known = {phase: energy_of(records, (phase,)) for phase in phases}
    return {phase: kwh for phase, kwh in known.items() if kwh}


def _ends(scenario: Scenario, kwh: Mapping[str, float]) -> tuple[float, float]:
    """Energy if every network is linear in voxels, and if the denoiser is quadratic in them."""
    linear = sum(_factor(phase, scenario, scenario.voxels) * e for phase, e in kwh.items())
    squared = sum(_factor(phase, scenario, scenario.voxels**2) * e for phase, e in kwh.items())
    return min(linear, squared), max(linear, squared)


def _factor(phase: str, scenario: Scenario, denoiser_size: float) -> float:
    if phase in ("denoiser_train", "adapter_train"):
        return scenario.model * denoiser_size
    if phase == "sampling":
        return scenario.model * denoiser_size * scenario.steps
    return scenario.voxels  # the first stage is convolutional, and not what "model" changes


def _basis(scenario: Scenario, quality: str, generation: bool) -> str:  # noqa: FBT001
    parts = [f"{quality} meter"]
    if scenario.voxels != 1:
        parts.append("from linear in voxels (convolutions) to quadratic (attention)")
    if scenario.model != 1:
        parts.append("as many joules per FLOP")
    if scenario.steps != 1 and generation:
        parts.append("calls cost the same")
    if scenario.devices != 1:
        parts.append(f"devices {100 * LEAST_EFFICIENCY:.0f} to 100 % as busy (assumed)")
    return "; ".join(parts)


def _ratio(value: str) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x", value)
    return float(found[1]) or None if found else None


def _steps(value: str, records: Sequence[PhaseRecord]) -> float:
    if not re.fullmatch(r"[1-9]\d*", value):
        _wrong("steps", value, "a number of denoiser calls, or a ratio such as 2x")
    calls = sum(r.work.get("denoiser_calls", 0.0) for r in records)
    made = volumes_made(records)
    if not calls or not made:
        raise NotComputable("the ledger has no denoiser calls", "a ratio", "Say steps=2x")
    return int(value) * made / calls


def _voxels(value: str, records: Sequence[PhaseRecord]) -> float:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)+", value):
        _wrong("size", value, "a ratio such as 2x, or a shape such as 512x512x256")
    before = voxels_per_volume(records)
    if not before:
        raise NotComputable("the ledger has no decoded voxels", "a ratio", "Say size=2x")
    return math.prod(int(n) for n in value.split("x")) / before


def _wrong(key: str, value: str, expected: str) -> float:
    raise BadInput(f"{key} is '{value}'", expected, _HELP)


_HELP = "Such as --scenario steps=250,model=4x,size=2x,devices=8"
