"""``voxaudit footprint RUN``: energy and CO2 of each phase, for any grid, without running again."""

from pathlib import Path
from typing import Any

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    @app.command("footprint")
    def footprint_command(
        run: Path = typer.Argument(..., help="Run folder, or runs/latest."),
        zone: str = typer.Option(
            None, help="ISO country code, such as FRA, or a zone of your table."
        ),
        month: str = typer.Option(None, help="YYYY-MM, with a monthly table."),
        pue: float = typer.Option(1.0, help="Power usage effectiveness of the site."),
        intensities: Path = typer.Option(None, help="CSV: zone, period, g_per_kwh."),
        volumes: int = typer.Option(10_000, help="Samples to extrapolate to."),
        training_steps: int = typer.Option(None, help="Denoiser steps to extrapolate to."),
        scenario: list[str] = typer.Option(
            [], help="steps=250,model=4x,size=2x,devices=8 (or some of these); repeat."
        ),
        all_zones: bool = typer.Option(False, "--all-zones", help="One line a zone or month."),
        as_json: bool = JsonFlag,
    ) -> None:
        """Print energy, CO2, break-even and what the same run would cost elsewhere."""
        from audit.projection import project, what_if
        from audit.run_path import find_run

        run = find_run(run)
        table = None
        if intensities is not None:
            from audit.carbon import read_intensities

            table = read_intensities(intensities)
        if all_zones:
            rows = what_if(run, table=table, pue=pue, zone=zone, period=month)
            _print_what_if(rows, as_json=as_json)
            return
        found = project(
            run,
            zone=zone,
            period=month,
            pue=pue,
            table=table,
            volumes=volumes,
            training_steps=training_steps,
            scenarios=scenario,
        )
        if as_json:
            print_json(found)
        else:
            _print(found)


def _print_what_if(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    from audit.projection import spans

    if as_json:
        print_json(rows)
        return
    print_table(rows, ["zone", "period", "g_per_kwh", "emissions_g", "ratio_to_lowest"])
    print()
    for sentence in spans(rows):
        print(sentence)
    for basis, source in sorted({(row["basis"], row["source"]) for row in rows}):
        print(f"intensities: {basis}, {source}")


def _print(found: dict[str, Any]) -> None:
    print_table(
        found["phases"],
        ["phase", "duration_s", "energy_kwh", "emissions_g", "cpu", "gpu", "ram"],
    )
    if found["energy_kwh"] is None:
        print("\ntotal: nothing metered this run, so there is no energy and no CO2")
        return
    print(f"\ntotal: {found['energy_kwh']:.4g} kWh")
    if found["emissions_g"] is None:
        print("CO2: give the grid with --zone, such as --zone DEU")
    else:
        grid = found["intensity"]
        print(
            f"CO2: {found['emissions_g']:.4g} g "
            f"({found['emissions_low_g']:.4g} to {found['emissions_high_g']:.4g}; "
            f"{found['meter']} meter)\n"
            f"grid: {grid['zone']} {grid['period']}, {grid['g_per_kwh']:.1f} g/kWh, "
            f"{grid['basis']}, PUE {found['pue']}, {grid['source']}"
        )
        for same in found["equivalents"]:
            print(
                f"      = {same['value']:.3g} {same['what']} "
                f"({same['g_per_unit']} g each; {same['source']})"
            )
    if found["break_even_volumes"] is not None:
        print(
            f"sampling has cost as much as training after {found['break_even_volumes']:.0f} volumes"
        )
    for row in found["extrapolated"]:
        if row["energy_kwh"] is None:
            print(f"{row['what']}: not computable: {row['reason']}")
        else:
            print(
                f"{row['what']}: {row['energy_kwh']:.3g} kWh ({row['low_kwh']:.3g} to "
                f"{row['high_kwh']:.3g}; {row['scale']:.3g} times what was measured; "
                f"{row['basis']})"
            )
    if found["scenarios"]:
        print()
        columns = ["scenario", "what", "energy_kwh", "low_kwh", "high_kwh", "time_h"]
        print_table(found["scenarios"], [*columns, "emissions_g", "basis"])
        print()
    for sentence in found["notes"]:
        print(f"note: {sentence}")
