"""Denoiser calls that one synthetic volume took: a cost without noise.

It is the same on every machine, so it can be gated everywhere: a pull request that doubles the
steps fails here although no meter is at hand.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import exact
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """From the run's ledger."""
    sampling = [r for r in comparison.ledger_records() if r.phase == "sampling"]
    volumes = sum(r.work.get("volumes", 0.0) for r in sampling)
    calls = sum(r.work.get("denoiser_calls", 0.0) for r in sampling)
    if not volumes or not calls:
        raise NotComputable("the ledger has no denoiser calls", "volumes sampled by a diffusion")
    return Measurement(estimate=exact(calls / volumes, int(volumes)))


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="calls",
    needs=("ledger",),
    source="Counted; Seyfarth et al. 2024, arXiv:2407.14892 (generation steps drive the footprint)",
)
