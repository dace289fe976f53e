"""CO2 equivalent of the whole run, in g, for the grid named in the configuration.

``energy × PUE × grid intensity``. Energy is what is kept; ask ``voxaudit footprint RUN --zone Z``
for any other grid, month or site. Embodied emissions are not included.
"""

from dataclasses import asdict

import numpy as np

from audit.carbon import emissions_g, find_intensity
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.footprint import BANDS, energy_of, meter_quality
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """From the run's ledger and the zone in ``options``."""
    zone = comparison.options.get("zone")
    if not zone:
        raise NotComputable("the configuration names no grid", "carbon.zone", "Set it, such as DEU")
    records = comparison.ledger_records()
    kwh = energy_of(records)
    if kwh is None:
        raise NotComputable("no component's energy is known", "a meter or a load model")
    grid = find_intensity(str(zone))
    pue = float(comparison.options.get("pue", 1.0))
    grams = emissions_g(kwh, grid, pue=pue)
    quality = meter_quality(records)
    low, high = BANDS[quality]
    return Measurement(
        estimate=Estimate(
            value=grams,
            low=grams * low,
            high=grams * high,
            n=1,
            method=f"systematic band of a {quality} meter",
        ),
        params={"pue": pue, "intensity": asdict(grid), "energy_kwh": kwh, "meter": quality},
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="g",
    needs=("ledger",),
    source="Seyfarth et al. 2024, arXiv:2407.14892; intensities: codecarbon's table (OWID/Ember)",
)
