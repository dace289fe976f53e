"""A run's energy seen through a grid, a site, a number of samples and other choices."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audit.carbon import (
    Intensity,
    annual_intensities,
    break_even_volumes,
    emissions_g,
    equivalents,
    find_intensity,
)
from audit.errors import BadInput, NotComputable
from audit.extrapolation import extrapolate
from audit.footprint import (
    BANDS,
    GENERATION,
    TRAINING,
    energy_of,
    meter_quality,
    read_records,
    volumes_made,
)
from audit.ledger_lines import fold, read_all
from audit.result import PhaseRecord
from audit.scenarios import parse_scenario, scenario_rows
from audit.work_costs import pieces_of

SAID_OF = {
    "sensor": "power was sampled once a second, where a counter would miss nothing",
    "mixed": "a part of the energy is a model, not a measurement: see the columns cpu, gpu and ram",
    "modelled": "the energy is a model, not a measurement: an order of magnitude",
}
EXCLUDED = "power supply, fans, disks, network and embodied emissions are not counted"


def project(
    run: Path,
    *,
    zone: str | None = None,
    period: str | None = None,
    pue: float = 1.0,
    table: Sequence[Intensity] | None = None,
    volumes: int = 10_000,
    training_steps: int | None = None,
    scenarios: Sequence[str] = (),
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
        scenarios: As ``audit.scenarios.parse_scenario`` reads them.

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
        "scenarios": [
            {**row, "emissions_g": emissions_g(row["energy_kwh"], grid, pue=pue) if grid else None}
            for text in scenarios
            for row in scenario_rows(records, parse_scenario(text, records), volumes=volumes)
        ],
        "notes": _notes(records, quality),
    }


def what_if(
    run: Path,
    *,
    table: Sequence[Intensity] | None = None,
    pue: float = 1.0,
    zone: str | None = None,
    period: str | None = None,
) -> list[dict[str, Any]]:
    """The same energy in every zone and period of a table, or of one zone or period; least first.

    Raises:
        BadInput: The table has no such zone or period.
        NotComputable: Nothing metered the run.
    """
    total = energy_of(read_records(run))
    if total is None:
        raise NotComputable("no component's energy is known", "a meter or a load model")
    rows = list(table) if table is not None else list(annual_intensities().values())
    if zone is not None:
        find_intensity(zone, table=rows)
        rows = [r for r in rows if r.zone.upper() == zone.upper()]
    if period is not None:
        known = sorted({r.period for r in rows})
        rows = [r for r in rows if r.period == period]
        if not rows:
            raise BadInput(f"no intensity in {period}", f"one of {', '.join(known[:12])}")
    lowest = min(r.g_per_kwh for r in rows)
    return [
        {
            "zone": r.zone,
            "period": r.period,
            "g_per_kwh": r.g_per_kwh,
            "emissions_g": emissions_g(total, r, pue=pue),
            "ratio_to_lowest": r.g_per_kwh / lowest,
            "basis": r.basis,
            "source": r.source,
        }
        for r in sorted(rows, key=lambda r: (r.g_per_kwh, r.zone, r.period))
    ]


def spans(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How far apart places and times of a ``what_if`` table lie, beside what the paper found."""
    sentences = []
    if len({r["zone"] for r in rows}) > 1:
        low, high = rows[0], rows[-1]
        sentences.append(
            f"from {low['zone']} ({low['period']}) to {high['zone']} ({high['period']}): "
            f"{high['ratio_to_lowest']:.1f}-fold (the paper names 94-fold)"
        )
    by_zone: dict[str, list[float]] = {}
    for row in rows:
        by_zone.setdefault(row["zone"], []).append(row["g_per_kwh"])
    swings = {zone: max(g) / min(g) - 1 for zone, g in by_zone.items() if len(g) > 1}
    if swings:
        widest = max(swings, key=lambda zone: swings[zone])
        sentences.append(
            f"from the best to the worst period of one zone: up to {swings[widest]:+.0%} "
            f"({widest}; the paper names 50 %)"
        )
    return sentences


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
    lines = read_all(run / "ledger.jsonl")
    pieces = pieces_of(lines, phases, unit)
    try:
        found = extrapolate(pieces.kwh, target, units=pieces.units)
    except NotComputable as error:
        return {**row, "energy_kwh": None, "emissions_g": None, "reason": error.reason}
    quality = meter_quality([t.record(p) for p, t in fold(lines).items() if p in phases])
    below, above = BANDS[quality]
    return {
        **row,
        "energy_kwh": found.energy_kwh,
        "low_kwh": found.low * below,
        "high_kwh": found.high * above,
        "repeats_low_kwh": found.low,
        "repeats_high_kwh": found.high,
        "scale": found.scale,
        "basis": f"{len(pieces.units)} batches or steps, {quality} meter",
        "emissions_g": emissions_g(found.energy_kwh, grid, pue=pue) if grid else None,
    }


def _generation(records: Sequence[PhaseRecord]) -> dict[str, Any]:
    """Energy per volume and break-even with training; None where not computable."""
    made = volumes_made(records)
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
    missing = {
        f"{component.upper()} energy is missing ({method.removeprefix('missing: ')})"
        for record in records
        for component, method in record.method.items()
        if method.startswith("missing")
    }
    notes += sorted(missing)
    if quality in SAID_OF:
        notes.append(SAID_OF[quality])
    idle = energy_of(records, ("unattributed",)) or 0.0
    total = energy_of(records) or 0.0
    if total and idle / total > 0.05:
        notes.append(f"{idle / total:.0%} of the energy fell between phases (unattributed)")
    return notes
