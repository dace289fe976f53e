"""Tables that a section shows beside its figures."""

from typing import Any

from audit.carbon import annual_intensities, emissions_g, equivalents
from reports.material import Material
from reports.words import human, number

WORST = 6
ZONES = ("SWE", "FRA", "CAN", "GBR", "DEU", "USA", "CHN", "POL", "IND", "ZAF")


def tables_of(section: str, material: Material) -> list[dict[str, Any]]:
    """Tables of one section; absent data means no table."""
    makers = {"adherence": _worst_cases, "footprint": _footprint}
    return makers[section](material) if section in makers else []


def _worst_cases(material: Material) -> list[dict[str, Any]]:
    """Synthetic cases that follow their mask least."""
    columns = material.case_columns("adherence.dice.")
    if not columns or material.cases is None:
        return []
    table = material.cases.loc[material.cases["role"] == "synthetic", ["id", *columns]].copy()
    table = table.assign(worst=table[columns].min(axis=1)).nsmallest(WORST, "worst")
    return [
        {
            "title": "Worst cases",
            "look_for": "The synthetic cases that follow their mask least, by their worst label.",
            "columns": ["case", *(human(c.split(".", 1)[-1]) for c in columns)],
            "rows": [
                [row["id"], *(number(float(row[c])) for c in columns)]
                for _, row in table.iterrows()
            ],
        }
    ]


def _footprint(material: Material) -> list[dict[str, Any]]:
    return [*_phases(material), *_what_if(material), *_scenarios(material)]


def _scenarios(material: Material) -> list[dict[str, Any]]:
    """What one volume would take with other choices, as the audit projected it."""
    found = [f for f in material.findings("footprint") if f.name == "footprint.scenarios"]
    rows = [
        [f.variant, f"{number(f.value)} Wh", f"{number(f.low)} to {number(f.high)} Wh",
         f"{number(3600 * f.params['time_h'])} s", f.params["basis"]]
        for f in found if f.status == "ok"
    ]  # fmt: skip
    if not rows:
        return []
    return [
        {
            "title": "What if a choice had been another",
            "look_for": "Energy of one volume, each choice alone; a projection, not a measurement. "
            "`voxaudit footprint RUN --scenario` asks any other.",
            "columns": ["scenario", "energy per volume", "interval", "time", "what it rests on"],
            "rows": rows,
        }
    ]


def _how(method: dict[str, str]) -> str:
    """How energy was obtained, with components that share a method named together."""
    groups: dict[str, list[str]] = {}
    for component, way in method.items():
        groups.setdefault(way, []).append(component)
    return "; ".join(f"{', '.join(c)}: {way}" for way, c in groups.items()) or "not metered"


def _what_if(material: Material) -> list[dict[str, Any]]:
    """The same energy on other grids; a projection of what was metered, nothing is run again."""
    known = [v for p in material.result.ledger for v in p.energy_kwh.values() if v is not None]
    if not known or sum(known) <= 0:
        return []
    energy, table = sum(known), annual_intensities()
    made = material.result.cohorts.get("synthetic")
    grids = sorted((table[z] for z in ZONES if z in table), key=lambda g: g.g_per_kwh)
    rows = []
    for grid in grids:
        grams = emissions_g(energy, grid)
        each = f"{number(grams / made.n)} g" if made and made.n else "–"
        car = equivalents(grams)[0]
        rows.append([f"{grid.zone} ({grid.period})", f"{number(grid.g_per_kwh)} g/kWh",
                     f"{number(grams)} g", each, f"{number(1000 * car.value)} m"])  # fmt: skip
    return [
        {
            "title": "What if it had run elsewhere",
            "look_for": f"The run's {number(1000 * energy)} Wh on other grids, at PUE 1 and yearly "
            f"average intensities ({grids[0].source}). Grid choice often outweighs tuning.",
            "columns": ["grid", "intensity", "CO₂e of the run", "per synthetic volume",
                        "as meters in a new EU car of 2020"],
            "rows": rows,
        }
    ]  # fmt: skip


def _phases(material: Material) -> list[dict[str, Any]]:
    """Time, energy and work of every phase with how each was measured."""
    phases = material.result.ledger
    if not phases:
        return []
    rows = []
    ways = sorted({_how(p.method) for p in phases})
    for p in phases:
        metered = [v for v in p.energy_kwh.values() if v is not None]
        how = [_how(p.method)] if len(ways) > 1 else []
        work = ", ".join(f"{number(v)} {human(k).lower()}" for k, v in p.work.items())
        energy = f"{number(1000 * sum(metered))} Wh" if metered else "–"
        rows.append([p.phase, f"{number(p.duration_s)} s", energy, *how, work or "–", p.attempts])
    return [
        {
            "title": "Phases",
            "look_for": "Energy that is not metered is left empty, never zero."
            + (f" How it was measured: {ways[0]}." if len(ways) == 1 else ""),
            "columns": [
                "phase",
                "time",
                "energy",
                *(["how it was measured"] if len(ways) > 1 else []),
                "work",
                "attempts",
            ],
            "rows": rows,
        }
    ]
