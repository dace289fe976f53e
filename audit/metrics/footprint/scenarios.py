"""Energy of one synthetic volume, in Wh, if a choice had been another: steps, model, size, devices.

Twice the denoiser calls, twice its FLOPs, twice the image along each axis, four devices: one at a
time. A projection of what was metered, never a measurement; the interval is the meter's
band times what the scenario leaves open, which ``params`` names. ``voxaudit footprint RUN
--scenario`` asks others.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.footprint import volumes_made
from audit.metric import Measurement, Metric, Outcome
from audit.scenarios import EXAMPLES, parse_scenario, scenario_rows


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:  # noqa: ARG001
    """One variant a scenario, from the run's ledger."""
    records = [r for r in comparison.ledger_records() if r.phase in ("sampling", "decoding")]
    made = volumes_made(records)
    if not made:
        raise NotComputable("the ledger has no sampling", "sampled volumes")
    found: dict[str, Outcome] = {}
    for text in EXAMPLES:
        row = scenario_rows(records, parse_scenario(text, records), volumes=1)[0]
        found[text] = Measurement(
            estimate=Estimate(
                value=row["energy_kwh"] * 1000,
                low=row["low_kwh"] * 1000,
                high=row["high_kwh"] * 1000,
                n=int(made),
                method="band of the meter times what the scenario leaves open",
            ),
            params={"basis": row["basis"], "time_h": row["time_h"]},
        )
    return found


METRIC = Metric(
    compute=compute,
    better="none",
    bounds=(0.0, np.inf),
    unit="Wh",
    needs=("ledger",),
    source="Seyfarth et al. 2024, arXiv:2407.14892 (scenarios: size, steps, devices, model)",
)
