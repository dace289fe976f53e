"""What consecutive pieces of work took (a batch, a heartbeat's worth of steps), from the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.energy_sources import COMPONENTS
from audit.extrapolation import FloatArray
from audit.ledger_lines import J_PER_KWH, Line


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Consecutive pieces of one kind of work.

    Attributes:
        kwh: Energy (n,) of each.
        units: Units (n,) in each, such as volumes.
        seconds: What they took together.
    """

    kwh: FloatArray
    units: FloatArray
    seconds: float


def pieces_of(
    lines: Sequence[Line],
    phases: Sequence[str],
    unit: str,
    components: Sequence[str] = COMPONENTS,
) -> Pieces:
    """Pieces of work in the order in which they were done.

    A heartbeat may cut a batch in two: energy of the first phase without finished units belongs to
    the piece that comes, energy of the other phases (decoding beside sampling) to the one before.
    Where several processes worked on one meter, its energy is shared out over the work of all.

    Args:
        lines: Of all processes.
        phases: Phases that belong to the unit; the first one counts the units.
        unit: ``volumes`` or ``steps``.
        components: What energy to count.
    """
    costs: list[float] = []
    units: list[float] = []
    waiting = seconds = elsewhere = 0.0
    for line in lines:
        if line["phase"] not in phases:
            continue
        done = line["work"].get(unit, 0.0) if line["phase"] == phases[0] else 0.0
        if line.get("rank", 0) != 0:
            elsewhere += done
        seconds += line["duration_s"]
        joules = sum(line["energy_j"].get(c) or 0.0 for c in components)
        if line.get("rank", 0) == 0 and done:
            costs.append(joules + waiting)
            units.append(done)
            waiting = 0.0
        elif line["phase"] == phases[0] or not costs:
            waiting += joules
        else:
            costs[-1] += joules
    if costs:
        costs[-1] += waiting
    here = sum(units)
    share = here / (here + elsewhere) if here else 1.0
    return Pieces(kwh=np.array(costs) * share / J_PER_KWH, units=np.array(units), seconds=seconds)
