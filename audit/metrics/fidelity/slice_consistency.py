"""How differently neighboring slices resemble each other in synthetic and in real volumes, along z.

Each volume gives the mean over its neighboring slices of Pearson correlation, mean absolute
difference (on the audit's window, -1 to 1) and MS-SSIM; the value is the Wasserstein-1 distance of
these between held-out real and synthetic. 0 where slices hang together as in real volumes: both
jumps between slices and slices that are too alike move it.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.descriptors import SIMILARITIES, describe
from audit.masks.pairing import by_variant, measured_scalar
from audit.metric import Measurement, Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per similarity: hold-out against synthetic."""
    described = describe(comparison, "adjacent_z")

    def one(name: str, own: np.random.Generator) -> Measurement:
        rows = described.as_rows(SIMILARITIES.index(name))
        return measured_scalar(
            comparison, rows, own, quantity=f"mean over neighboring slices: {name}"
        )

    return by_variant(SIMILARITIES, rng, one)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("slice_shift", "noise"),
    bounds=(0.0, np.inf),
    needs=("holdout",),
    source="adjacent-slice similarity; MS-SSIM: Wang et al. 2003, doi 10.1109/ACSSC.2003.1292216",
)
