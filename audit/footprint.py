"""Footprint of a run folder: its ledger seen through a grid, a site and a number of samples."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from audit.carbon import (
    Intensity,
    annual_intensities,
    break_even_volumes,
    emissions_g,
    equivalents,
    extrapolate,
    find_intensity,
)
from audit.errors import BadInput, NotComputable
from audit.ledger import J_PER_KWH, Ledger, read_lines
from audit.result import PhaseRecord, load_result

TRAINING = ("stage1_train", "encode_latents", "denoiser_train", "adapter_train")
GENERATION = ("sampling", "decoding")
BANDS = {"counter": (0.95, 1.25), "mixed": (0.9, 1.4), "modelled": (1 / 3, 3.0)}
EXCLUDED = "power supply, fans, disks, network and embodied emissions are not counted"


def read_records(run: Path) -> tuple[PhaseRecord, ...]:
    """Phases of a run: from its ledger file, which is ahead of result.json while it runs.

    Raises:
        BadInput: The folder has neither.
    """
    if (run / "ledger.jsonl").is_file():
        return Ledger(file=run / "ledger.jsonl").records()
    records = load_result(run).ledger
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


def meter_quality(records: Sequence[PhaseRecord]) -> str:
    """``counter``, ``mixed`` or ``modelled``, by how the components were obtained."""
    methods = {m for r in records for m in r.method.values() if not m.startswith("missing")}
    counted = methods & {"counter", "power_sensor"}
    if methods and counted == methods:
        return "counter"
    return "mixed" if counted else "modelled"


def project(
    run: Path,
    *,
    zone: str | None = None,
    period: str | None = None,
    pue: float = 1.0,
    table: Sequence[Intensity] | None = None,
    volumes: int = 10_000,
    training_steps: int | None = None,
) -> dict[str, Any]:
    """Energy and CO2 per phase of a run, with equivalents, break-even and extrapolation.

    Args:
        run: Run folder.
        zone: Grid; None leaves carbon out and keeps the energy.
        period: ``YYYY`` or ``YYYY-MM``.
        pue: Power usage effectiveness.
        table: The user's intensities.
        volumes: Samples to extrapolate to.
        training_steps: Denoiser steps of a full-size training to extrapolate to.

    Returns:
        A JSON-ready mapping; ``emissions_g`` is None without a zone.
    """
    records = read_records(run)
    grid = find_intensity(zone, period=period, table=table) if zone else None
    total = energy_of(records)
    quality = meter_quality(records)
    grams = emissions_g(total, grid, pue=pue) if grid and total is not None else None
    low, high = BANDS[quality]
    return {
        "phases": [_phase_row(r, grid, pue) for r in records],
        "energy_kwh": total,
        "emissions_g": grams,
        "emissions_low_g": None if grams is None else grams * low,
        "emissions_high_g": None if grams is None else grams * high,
        "meter": quality,
        "pue": pue,
        "intensity": asdict(grid) if grid else None,
        "equivalents": [asdict(e) for e in equivalents(grams)] if grams is not None else [],
        **_generation(records),
        "extrapolated": [
            _extrapolated(run, phases, unit, target, grid, pue)
            for phases, unit, target in (
                (GENERATION, "volumes", volumes),
                (("denoiser_train",), "steps", training_steps),
            )
            if target
        ],
        "notes": _notes(records, quality),
    }


def what_if(
    run: Path, *, table: Sequence[Intensity] | None = None, pue: float = 1.0
) -> list[dict[str, Any]]:
    """The same energy in every zone and period of a table, cheapest first."""
    total = energy_of(read_records(run))
    if total is None:
        raise NotComputable("no component's energy is known", "a meter or a load model")
    rows = list(table) if table is not None else list(annual_intensities().values())
    lowest = min(r.g_per_kwh for r in rows)
    return [
        {
            "zone": r.zone,
            "period": r.period,
            "g_per_kwh": r.g_per_kwh,
            "emissions_g": emissions_g(total, r, pue=pue),
            "ratio_to_lowest": r.g_per_kwh / lowest,
        }
        for r in sorted(rows, key=lambda r: (r.g_per_kwh, r.zone, r.period))
    ]


def _phase_row(record: PhaseRecord, grid: Intensity | None, pue: float) -> dict[str, Any]:
    kwh = energy_of([record])
    return {
        "phase": record.phase,
        "duration_s": round(record.duration_s, 3),
        "energy_kwh": kwh,
        "emissions_g": emissions_g(kwh, grid, pue=pue) if grid and kwh is not None else None,
        **{c: record.method.get(c, "missing") for c in ("cpu", "gpu", "ram")},
        "work": record.work,
        "attempts": record.attempts,
    }


def unit_costs_kwh(run: Path, phases: Sequence[str], unit: str) -> list[float]:
    """Energy of each unit of work, in the order in which it was done.

    Work and energy of one increment of the ledger (a batch, or a heartbeat's worth of steps) are
    spread evenly over its units; increments without the unit (decoding beside sampling) are added
    to the unit before.

    Args:
        run: Run folder with a ledger.jsonl.
        phases: Phases that belong to the unit.
        unit: ``volumes`` or ``steps``.
    """
    counted = phases[0]
    costs: list[float] = []
    for line in read_lines(run / "ledger.jsonl"):
        if line["phase"] not in phases:
            continue
        kwh = sum(j for j in line["energy_j"].values() if j is not None) / J_PER_KWH
        units = round(line["work"].get(unit, 0)) if line["phase"] == counted else 0
        if units:
            costs.extend([kwh / units] * units)
        elif costs:
            costs[-1] += kwh
    return costs


def _extrapolated(
    run: Path,
    phases: Sequence[str],
    unit: str,
    target: int,
    grid: Intensity | None,
    pue: float,
) -> dict[str, Any]:
    """Energy of a larger run with its interval, or the reason why it cannot be told."""
    row: dict[str, Any] = {"what": f"{target} {unit} of {phases[0]}", "reason": ""}
    try:
        found = extrapolate(unit_costs_kwh(run, phases, unit), target, rng=np.random.default_rng(0))
    except NotComputable as error:
        return {**row, "energy_kwh": None, "emissions_g": None, "reason": error.reason}
    return {
        **row,
        "energy_kwh": found.energy_kwh,
        "low_kwh": found.low,
        "high_kwh": found.high,
        "scale": found.scale,
        "emissions_g": emissions_g(found.energy_kwh, grid, pue=pue) if grid else None,
    }


def _generation(records: Sequence[PhaseRecord]) -> dict[str, Any]:
    """Energy per volume and break-even with training; None where not computable."""
    made = max((r.work.get("volumes", 0.0) for r in records if r.phase in GENERATION), default=0.0)
    spent = energy_of(records, GENERATION)
    per_volume = spent / made if spent is not None and made else None
    trained = energy_of(records, TRAINING)
    return {
        "volumes_sampled": made,
        "energy_per_volume_kwh": per_volume,
        "training_kwh": trained,
        "break_even_volumes": break_even_volumes(trained, per_volume)
        if per_volume and trained
        else None,
    }


def _notes(records: Sequence[PhaseRecord], quality: str) -> list[str]:
    notes = [EXCLUDED]
    if quality != "counter":
        notes.append("CPU or RAM energy is a model, not a measurement: an order of magnitude")
    idle = energy_of(records, ("unattributed",)) or 0.0
    total = energy_of(records) or 0.0
    if total and idle / total > 0.05:
        notes.append(f"{idle / total:.0%} of the energy fell between phases (unattributed)")
    return notes
