"""Floating-point operations that one synthetic volume took, in GFLOP: a cost without noise.

Denoiser, adapter and decoder, counted on tensors without data; the same on every machine, whatever
its speed. A pull request that widens the network fails here although no meter is at hand.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import exact
from audit.footprint import GENERATION, volumes_made
from audit.metric import Measurement, Metric

GIGA = 1e9


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """From the run's ledger."""
    used = [r for r in comparison.ledger_records() if r.phase in GENERATION]
    volumes = volumes_made(used)
    flops = sum(r.work.get("flops", 0.0) for r in used)
    if not volumes or not flops:
        raise NotComputable("the ledger counts no FLOPs", "volumes sampled by a diffusion")
    return Measurement(estimate=exact(flops / volumes / GIGA, int(volumes)))


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="GFLOP",
    needs=("ledger",),
    source="torch.utils.flop_counter; Seyfarth et al. 2024, arXiv:2407.14892 (model size)",
)
