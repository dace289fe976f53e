"""How differently neighboring frames resemble each other in synthetic and in real cines.

As ``fidelity.slice_consistency`` along t, the last frame followed by the first. Flicker lowers the
resemblance of neighbors; a frozen cine raises it: both move the value.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.descriptors import SIMILARITIES, describe
from audit.masks.pairing import by_variant, measured_scalar
from audit.metric import Measurement, Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per similarity: hold-out against synthetic."""
    described = describe(comparison, "adjacent_t")

    def one(name: str, own: np.random.Generator) -> Measurement:
        rows = described.as_rows(SIMILARITIES.index(name))
        return measured_scalar(
            comparison, rows, own, quantity=f"mean over neighboring frames: {name}"
        )

    return by_variant(SIMILARITIES, rng, one)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("jitter", "noise", "weak_contraction"),
    bounds=(0.0, np.inf),
    needs=("holdout", "cine"),
    source="adjacent-frame similarity; MS-SSIM: Wang et al. 2003, doi 10.1109/ACSSC.2003.1292216",
)
