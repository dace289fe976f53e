"""Energy that sampling and decoding one volume took by hardware counters, in Wh: the one to gate.

CPU and RAM are often a model, and a model cannot regress; this number leaves modelled parts out and
says which components it holds. Without any counter it is not computable. The interval is over
windows of consecutive batches after the first one; compare runs of one machine only, five a side.
"""

import numpy as np

from audit.comparison import Comparison
from audit.energy_sources import COMPONENTS
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.extrapolation import LEAST_PIECES, WARM_UP, half_width
from audit.footprint import GENERATION, voxels_per_volume
from audit.metric import Measurement, Metric
from audit.result import PhaseRecord
from audit.work_costs import Pieces, pieces_of


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """From the run's ledger, batch by batch."""
    records = [r for r in comparison.ledger_records() if r.phase in GENERATION]
    components = counted_components(records)
    hosts = {host for r in records for host in r.hosts}
    if len(hosts) > 1:
        raise NotComputable(f"{len(hosts)} machines metered this run", "one machine")
    pieces = pieces_of(comparison.ledger_lines(), GENERATION, "volumes", components)
    if not len(pieces.units):
        raise NotComputable("no ledger on disk has sampling", "samples of `voxaudit run`")
    estimate = per_volume_wh(pieces)
    return Measurement(
        estimate=estimate,
        params={
            "meter": "counter",
            "components": "+".join(components),
            "host": next(iter(hosts), ""),
            "metered_s": round(pieces.seconds, 1),
            "voxels": voxels_per_volume(records),
            "definition": "all batches" if estimate.low is None else "after the first batch",
        },
    )


def counted_components(records: list[PhaseRecord]) -> list[str]:
    """Components that a counter gave in every phase.

    Raises:
        NotComputable: There is none.
    """
    counted = [
        c for c in COMPONENTS if records and all(r.method.get(c) == "counter" for r in records)
    ]
    if not counted:
        how = sorted({f"{c}: {m}" for r in records for c, m in r.method.items()})
        raise NotComputable(
            f"no component's energy comes from a counter ({'; '.join(how) or 'no sampling'})",
            "an NVIDIA GPU since Volta, or a readable RAPL",
            "See `voxaudit doctor`",
        )
    return counted


def per_volume_wh(pieces: Pieces) -> Estimate:
    """Wh per volume after the first batch; of all, without interval, where they are few."""
    n = int(pieces.units.sum())
    wh, units = pieces.kwh[WARM_UP:] * 1000, pieces.units[WARM_UP:]
    if len(units) < LEAST_PIECES:
        value = float(pieces.kwh.sum() * 1000 / pieces.units.sum())
        few = f"none: {len(units)} batches after the first, {LEAST_PIECES} make an interval"
        return Estimate(value=value, low=None, high=None, n=n, method=few)
    value, half = float(wh.sum() / units.sum()), half_width(wh, units)
    return Estimate(
        value=value, low=value - half, high=value + half, n=n, method="Student's t over windows"
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="Wh",
    needs=("ledger",),
    source="NVML and RAPL counters; Seyfarth et al. 2024, arXiv:2407.14892; docs/carbon.md",
)
