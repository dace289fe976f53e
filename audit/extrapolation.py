"""A larger run from a measured part of it: units, warm-up, drift and an interval that covers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable

WARM_UP = 1
LEAST_PIECES = 8
WINDOWS = 10
NONLINEAR = 0.05

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """Energy of a larger run.

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
    costs_kwh: npt.ArrayLike,
    target_units: int,
    *,
    units: npt.ArrayLike | None = None,
    warm_up: int = WARM_UP,
    level: float = 0.95,
) -> Extrapolation:
    """Energy of ``target_units`` from what consecutive pieces of work took (batches, steps).

    Warm-up is a fixed cost; the rest is averaged. Neighboring pieces heat the same chip, so the
    interval takes its spread from about ten consecutive windows of them (Student's t over window
    means: the method of batch means) and not from single pieces. It is an interval for what the
    larger run will take, not only for the mean: it stays wide where that is hardly larger.

    Args:
        costs_kwh: Energy (n,) of consecutive pieces in kWh.
        target_units: Units (volumes, steps) of the run to predict.
        units: Units (n,) in each piece, such as volumes in a batch; None: one each.
        warm_up: First pieces that are not typical.
        level: Nominal coverage. With fewer than 100 pieces whose neighbors are alike the interval
            covers less (tests/test_extrapolation.py has the figures).

    Raises:
        NotComputable: Fewer than 8 pieces after warm-up, or a cost that drifts by more than 5 %
            from the first to the second half beyond its noise.

    References:
        Law 2015, Simulation Modeling and Analysis, 5th ed., section 9.5.3 (batch means).
    """
    costs = np.asarray(costs_kwh, dtype=np.float64)
    sizes = np.ones_like(costs) if units is None else np.asarray(units, dtype=np.float64)
    steady, counted = costs[warm_up:], sizes[warm_up:]
    if len(steady) < LEAST_PIECES:
        raise NotComputable(
            f"{len(steady)} batches or steps after warm-up",
            f"at least {LEAST_PIECES}",
            "Measure longer",
        )
    refuse_drift(steady, counted)
    mean = float(steady.sum() / counted.sum())
    fixed = float(costs[:warm_up].sum() - sizes[:warm_up].sum() * mean)
    value = fixed + mean * target_units
    # Variances add: of the mean that was measured, and of the units that are still to come.
    half = half_width(steady, counted, level=level) * target_units
    half *= float(np.sqrt(1 + counted.sum() / target_units))
    return Extrapolation(
        energy_kwh=value,
        low=value - half,
        high=value + half,
        scale=target_units / float(sizes.sum()),
        fixed_kwh=fixed,
        unit_kwh=mean,
    )


def half_width(costs: FloatArray, units: FloatArray, *, level: float = 0.95) -> float:
    """Half the interval of the cost of a unit, by Student's t over windows.

    Args:
        costs: Cost (n,) of consecutive pieces, n at least 4.
        units: Units (n,) in each.
        level: Nominal coverage.
    """
    from scipy.stats import t

    means = _window_means(costs, units)
    spread = float(means.std(ddof=1)) / len(means) ** 0.5
    return float(t.ppf((1 + level) / 2, len(means) - 1)) * spread


def refuse_drift(costs: FloatArray, units: FloatArray) -> None:
    """Refuse a cost that is not the same at the end as at the beginning.

    Raises:
        NotComputable: The halves differ by more than 5 % and by more than four standard errors.
    """
    middle = len(costs) // 2
    first, second = (
        float(c.sum() / u.sum())
        for c, u in ((costs[:middle], units[:middle]), (costs[middle:], units[middle:]))
    )
    means = _window_means(costs, units)
    half = len(means) // 2
    error = np.hypot(
        means[:half].std(ddof=1) / half**0.5,
        means[half:].std(ddof=1) / (len(means) - half) ** 0.5,
    )
    change = second / first - 1 if first > 0 else 0.0
    if abs(change) > NONLINEAR and abs(second - first) > 4 * error:
        raise NotComputable(
            f"the cost of a unit drifts by {change:+.0%} from the first half to the second",
            "at most 5 %",
            "Measure longer, after the machine has warmed up",
        )


def _window_means(costs: FloatArray, units: FloatArray) -> FloatArray:
    """Cost of a unit in each of about ten windows of consecutive pieces, two pieces at least."""
    windows = len(costs) // max(2, len(costs) // WINDOWS)
    pairs = zip(np.array_split(costs, windows), np.array_split(units, windows), strict=True)
    return np.array([c.sum() / u.sum() for c, u in pairs])
