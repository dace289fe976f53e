"""Energy that sampling and decoding one synthetic volume took, in Wh.

Only components that were metered or modelled count; how each was obtained is in ``params``. The
interval is a systematic band around the meter, not a sampling error: counters miss power supply,
fans and disks (-5 % to +25 %), a counter beside modelled parts is worse (-10 % to +40 %), and a
model alone gives an order of magnitude (a third to three times).
"""

from collections.abc import Sequence

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.footprint import BANDS, GENERATION, meter_quality, volumes_made
from audit.metric import Measurement, Metric
from audit.result import PhaseRecord


def energy_per_volume_wh(records: Sequence[PhaseRecord]) -> tuple[float, float]:
    """Wh per volume and the number of volumes, from the phases of sampling and decoding.

    Raises:
        NotComputable: No volume was sampled, or nothing metered it.
    """
    used = [r for r in records if r.phase in GENERATION]
    volumes = volumes_made(used)
    if volumes == 0:
        raise NotComputable(
            "the ledger has no sampling", "sampled volumes", "Sample with `voxaudit run`"
        )
    parts = [kwh for r in used for kwh in r.energy_kwh.values() if kwh is not None]
    if not parts:
        raise NotComputable("no component's energy is known", "a meter or a load model")
    return sum(parts) * 1000 / volumes, volumes


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """From the run's ledger."""
    records = [r for r in comparison.ledger_records() if r.phase in GENERATION]
    value, volumes = energy_per_volume_wh(records)
    quality = meter_quality(records)
    low, high = BANDS[quality]
    return Measurement(
        estimate=Estimate(
            value=value,
            low=value * low,
            high=value * high,
            n=int(volumes),
            method=f"systematic band of a {quality} meter",
        ),
        params={"meter": quality, "method": {r.phase: dict(r.method) for r in records}},
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="Wh",
    needs=("ledger",),
    source="Seyfarth et al. 2024, arXiv:2407.14892 (energy per phase); bands: docs/carbon.md",
)
