"""From energy to carbon: pure functions of kWh. Energy is stored, carbon is computed when asked.

``g = kWh of IT equipment × PUE × g per kWh of the grid``. Average intensities answer "what is my
share", not "what would change" (marginal intensities do). Embodied emissions are not included.
"""

import csv
import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.errors import BadInput, NotComputable, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """Carbon intensity of a grid.

    Attributes:
        g_per_kwh: Grams of CO2 equivalent per kWh.
        zone: ISO 3166 alpha-3 code, or the table's own zone name.
        period: Year (``2023``) or month (``2026-01``) that it holds for.
        basis: ``lifecycle`` or ``direct``; numbers of different basis are not compared.
        source: Table it comes from.
        sha256: Hash of the table's bytes.
    """

    g_per_kwh: float
    zone: str
    period: str
    basis: str
    source: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Equivalent:
    """A picture for grams, with the factor behind it.

    Attributes:
        what: Unit, such as ``km by car``.
        value: How many of it.
        g_per_unit: Factor.
        source: Where the factor comes from.
    """

    what: str
    value: float
    g_per_unit: float
    source: str


CAR_FACTORS = (
    ("km by new car, EU 2020", 107.5, "EEA, new cars of 2020; carbontracker's until v2"),
    ("km by new car, EU 2024", 106.8, "EEA, new cars of 2024"),
    ("km by average car, USA", 254.0, "EPA, 0.409 kg per mile"),
)


def emissions_g(energy_kwh: float, intensity: Intensity, *, pue: float = 1.0) -> float:
    """Grams of CO2 equivalent of an amount of IT energy.

    Args:
        energy_kwh: Energy of CPU, GPU and RAM in kWh.
        intensity: Of the grid.
        pue: Power usage effectiveness of the site, at least 1.

    Raises:
        BadInput: PUE below 1 or negative energy.
    """
    if pue < 1:
        raise BadInput(f"PUE is {pue}", "at least 1")
    if energy_kwh < 0:
        raise BadInput(f"energy is {energy_kwh} kWh", "at least 0")
    return energy_kwh * pue * intensity.g_per_kwh


def equivalents(grams: float) -> tuple[Equivalent, ...]:
    """Car kilometers under each factor; the same grams give 2.4 times different distances."""
    return tuple(
        Equivalent(what=what, value=grams / factor, g_per_unit=factor, source=source)
        for what, factor, source in CAR_FACTORS
    )


def annual_intensities() -> dict[str, Intensity]:
    """Country averages by ISO code, from codecarbon's table (OWID/Ember, lifecycle)."""
    spec = importlib.util.find_spec("codecarbon")
    if spec is None or spec.origin is None:
        raise BadInput("codecarbon is not installed", "its table of intensities", "Reinstall")
    file = Path(spec.origin).parent / "data" / "private_infra" / "global_energy_mix.json"
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {
        zone: Intensity(
            g_per_kwh=float(row["carbon_intensity"]),
            zone=zone,
            period=str(row["year"]),
            basis="lifecycle",
            source="codecarbon global_energy_mix.json (OWID/Ember)",
            sha256=digest,
        )
        for zone, row in json.loads(content).items()
        if row.get("carbon_intensity")  # 0 stands for "unknown" in this table
    }


def read_intensities(file: Path) -> list[Intensity]:
    """A user's CSV: ``zone``, ``period``, ``g_per_kwh`` and optionally ``basis``, ``source``.

    Raises:
        BadInput: Missing columns, or a value that is no positive number, with its line.
    """
    if not file.is_file():
        raise BadInput(f"no table of intensities called {file.name}", "a CSV file")
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    try:
        rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines()))
    except UnicodeDecodeError as error:
        raise BadInput(f"{file.name} is not text", "a CSV file in UTF-8") from error
    missing = {"zone", "period", "g_per_kwh"} - set(rows[0] if rows else ())
    if missing:
        raise BadInput(
            f"{file.name} lacks {', '.join(sorted(missing))}", "columns zone, period, g_per_kwh"
        )
    return [_row(row, line, file.name, digest) for line, row in enumerate(rows, start=2)]


def find_intensity(
    zone: str, *, period: str | None = None, table: Sequence[Intensity] | None = None
) -> Intensity:
    """Intensity of a zone, in a month or year where the table says.

    Args:
        zone: ISO 3166 alpha-3 code, or a zone of the table.
        period: ``YYYY`` or ``YYYY-MM``; None takes the latest.
        table: Rows of ``read_intensities``; None takes the annual table.

    Raises:
        BadInput: The table has no such zone or period.
    """
    rows = list(table) if table is not None else list(annual_intensities().values())
    here = [r for r in rows if r.zone.upper() == zone.upper()]
    if not here:
        raise BadInput(
            f"no intensity for zone '{zone}'", did_you_mean(zone, {r.zone for r in rows})
        )
    if period is None:
        return max(here, key=lambda r: r.period)
    fits = [r for r in here if r.period == period]
    if not fits:
        known = ", ".join(sorted(r.period for r in here))
        raise BadInput(
            f"no intensity for {zone} in {period}",
            f"one of {known}",
            "Give a monthly table with --intensities; none may be shipped",
        )
    return fits[0]


def reproject(grams: float, *, old: Intensity, new: Intensity, pue_ratio: float = 1.0) -> float:
    """The same energy elsewhere or at another time, without running again.

    Raises:
        BadInput: The two intensities count different things (lifecycle or direct).
    """
    if old.basis != new.basis:
        raise BadInput(f"intensities are {old.basis} and {new.basis}", "one basis on both sides")
    return grams * new.g_per_kwh / old.g_per_kwh * pue_ratio


def break_even_volumes(training_kwh: float, per_volume_kwh: float) -> float:
    """How many samples cost as much energy as the training did.

    Raises:
        NotComputable: Sampling has no known cost.
    """
    if per_volume_kwh <= 0:
        raise NotComputable("sampling has no known energy", "a positive energy per volume")
    return training_kwh / per_volume_kwh


def _row(row: Mapping[str, str | None], line: int, name: str, digest: str) -> Intensity:
    try:
        value = float(row["g_per_kwh"] or "")
    except ValueError:
        value = float("nan")
    if not value > 0 or not math.isfinite(value):
        raise BadInput(
            f"{name}, line {line}: g_per_kwh is '{row['g_per_kwh']}'", "a positive number"
        )
    period = row["period"] or ""
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2}T\d{2})?)?", period):
        raise BadInput(f"{name}, line {line}: period is '{period}'", "YYYY or YYYY-MM")
    return Intensity(
        g_per_kwh=value,
        zone=(row["zone"] or "").strip(),
        period=period,
        basis=row.get("basis") or "lifecycle",
        source=row.get("source") or name,
        sha256=digest,
    )
