"""Energy of each phase of the run, in Wh, summed over all attempts.

A phase without any known component has a reason in place of a number: missing energy is never 0.
The interval is the systematic band of the meter, as in ``energy_per_volume``.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.footprint import BANDS, energy_of, meter_quality
from audit.metric import Measurement, Metric, Outcome
from audit.result import PhaseRecord


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:  # noqa: ARG001
    """One variant a phase."""
    records = {r.phase: r for r in comparison.ledger_records()}
    return {phase: _measure(record) for phase, record in records.items()}


def _measure(record: PhaseRecord) -> Outcome:
    kwh = energy_of([record])
    if kwh is None:
        return NotComputable("no component's energy is known", "a meter or a load model")
    quality = meter_quality([record])
    low, high = BANDS[quality]
    return Measurement(
        estimate=Estimate(
            value=kwh * 1000,
            low=kwh * 1000 * low,
            high=kwh * 1000 * high,
            n=record.attempts,
            method=f"systematic band of a {quality} meter",
        ),
        params={"meter": quality, "method": dict(record.method)},
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="Wh",
    needs=("ledger",),
    source="Seyfarth et al. 2024, arXiv:2407.14892",
)
