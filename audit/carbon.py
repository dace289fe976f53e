"""From energy to carbon: pure functions of kWh. Energy is stored, carbon is computed when asked.

``g = kWh of IT equipment × PUE × g per kWh of the grid``. Average intensities answer "what is my
share", not "what would change" (marginal intensities do). Embodied emissions are not included.
"""

import csv
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.errors import BadInput, NotComputable, did_you_mean

WARM_UP_UNITS = 1
NONLINEAR = 0.05


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


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """Energy of a larger run, from a measured part of it.

    Attributes:
        energy_kwh: Expected energy.
        low: Lower end of the interval.
        high: Upper end of the interval.
        scale: Units asked for over units measured: always print it.
        fixed_kwh: Warm-up that is paid once.
        unit_kwh: Energy of one further unit.
    """

    energy_kwh: float
    low: float
    high: float
    scale: float
    fixed_kwh: float
    unit_kwh: float


def extrapolate(
    unit_kwh: npt.ArrayLike,
    target_units: int,
    *,
    rng: np.random.Generator,
    warm_up: int = WARM_UP_UNITS,
    level: float = 0.95,
    resamples: int = 2000,
) -> Extrapolation:
    """Energy of ``target_units`` from the cost of each measured unit (volume, step, call).

    Warm-up units are a fixed cost; the rest is averaged, with a moving-block bootstrap because
    neighboring units heat the same chip.

    Args:
        unit_kwh: Energy (n,) of consecutive units.
        target_units: Units of the run to predict.
        rng: Source of randomness.
        warm_up: First units that are not typical.
        level: Nominal coverage.
        resamples: Bootstrap draws.

    Raises:
        NotComputable: Fewer than 8 units after warm-up, or a cost that drifts by more than 5 %
            from the first to the second half beyond its noise.
    """
    costs = np.asarray(unit_kwh, dtype=np.float64)
    steady = costs[warm_up:]
    if len(steady) < 8:
        raise NotComputable(f"{len(steady)} units after warm-up", "at least 8", "Measure longer")
    _refuse_drift(steady)
    fixed = float(costs[:warm_up].sum() - warm_up * steady.mean())
    means = _block_bootstrap_means(steady, rng, resamples)
    total = fixed + means * target_units
    low, high = np.quantile(total, [(1 - level) / 2, (1 + level) / 2])
    value = fixed + float(steady.mean()) * target_units
    return Extrapolation(
        energy_kwh=value,
        low=min(float(low), value),
        high=max(float(high), value),
        scale=target_units / len(costs),
        fixed_kwh=fixed,
        unit_kwh=float(steady.mean()),
    )


def break_even_volumes(training_kwh: float, per_volume_kwh: float) -> float:
    """How many samples cost as much energy as the training did.

    Raises:
        NotComputable: Sampling has no known cost.
    """
    if per_volume_kwh <= 0:
        raise NotComputable("sampling has no known energy", "a positive energy per volume")
    return training_kwh / per_volume_kwh


def scenario_kwh(per_volume_kwh: float, *, volumes: int, changes: Mapping[str, float]) -> float:
    """Energy of sampling when denoiser calls, FLOPs per call or repeats change.

    Args:
        per_volume_kwh: Measured energy per volume.
        volumes: How many volumes.
        changes: Ratios to what was measured, multiplied: ``steps`` (denoiser calls),
            ``flops`` (per call: model and image size together), ``repeats``. The number of
            devices changes the time, not the energy, as long as each stays as busy.
    """
    return per_volume_kwh * volumes * float(np.prod(list(changes.values()) or [1.0]))


def _row(row: Mapping[str, str | None], line: int, name: str, digest: str) -> Intensity:
    try:
        value = float(row["g_per_kwh"] or "")
    except ValueError:
        value = float("nan")
    if not value > 0 or not np.isfinite(value):
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


def _refuse_drift(steady: npt.NDArray[np.float64]) -> None:
    first, second = np.array_split(steady, 2)
    change = second.mean() / first.mean() - 1 if first.mean() > 0 else 0.0
    error = np.hypot(first.std(ddof=1) / len(first) ** 0.5, second.std(ddof=1) / len(second) ** 0.5)
    if abs(change) > NONLINEAR and abs(second.mean() - first.mean()) > 4 * error:
        raise NotComputable(
            f"the cost of a unit drifts by {change:+.0%} from the first half to the second",
            "at most 5 %",
            "Measure longer, after the machine has warmed up",
        )


def _block_bootstrap_means(
    values: npt.NDArray[np.float64], rng: np.random.Generator, resamples: int
) -> npt.NDArray[np.float64]:
    n = len(values)
    block = max(1, round(n ** (1 / 3)))
    starts = rng.integers(0, n - block + 1, size=(resamples, -(-n // block)))
    rows = (starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :n]
    means: npt.NDArray[np.float64] = values[rows].mean(axis=1)
    return means
