"""Tables that a section shows beside its figures."""

from typing import Any

from reports.material import Material
from reports.words import human, number

WORST = 6


def tables_of(section: str, material: Material) -> list[dict[str, Any]]:
    """Tables of one section; absent data means no table."""
    makers = {"adherence": _worst_cases, "footprint": _phases}
    return makers[section](material) if section in makers else []


def _worst_cases(material: Material) -> list[dict[str, Any]]:
    """Synthetic cases that follow their mask least."""
    columns = [c for c in material.case_columns("adherence.dice") if material.cases is not None]
    if not columns or material.cases is None:
        return []
    table = material.cases[material.cases["role"] == "synthetic"]
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


def _phases(material: Material) -> list[dict[str, Any]]:
    """Time, energy and work of every phase with how each was measured."""
    phases = material.result.ledger
    if not phases:
        return []
    rows = []
    for p in phases:
        metered = [v for v in p.energy_kwh.values() if v is not None]
        how = "; ".join(f"{k}: {v}" for k, v in p.method.items()) or "not metered"
        work = ", ".join(f"{number(v)} {human(k).lower()}" for k, v in p.work.items())
        energy = f"{number(1000 * sum(metered))} Wh" if metered else "–"
        rows.append([p.phase, f"{number(p.duration_s)} s", energy, how, work or "–", p.attempts])
    return [
        {
            "title": "Phases",
            "look_for": "Energy that is not metered is left empty, never zero.",
            "columns": ["phase", "time", "energy", "how it was measured", "work", "attempts"],
            "rows": rows,
        }
    ]
