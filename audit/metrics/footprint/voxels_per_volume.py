"""Voxels of one synthetic volume, over all frames: the size that every other cost grows with.

A cost that is lower per volume because the volumes got smaller is no saving; this number says so.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import exact
from audit.footprint import GENERATION, volumes_made, voxels_per_volume
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """From the run's ledger."""
    used = [r for r in comparison.ledger_records() if r.phase in GENERATION]
    voxels = voxels_per_volume(used)
    if voxels is None:
        raise NotComputable("the ledger has no decoded voxels", "sampled volumes")
    return Measurement(estimate=exact(voxels, int(volumes_made(used))))


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="voxels",
    needs=("ledger",),
    source="Counted; Seyfarth et al. 2024, arXiv:2407.14892 (image size drives the footprint)",
)
