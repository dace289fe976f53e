"""Unbiased squared MMD with the cubic kernel between held-out real and synthetic features (KID).

0 in expectation where the distributions agree, so slightly negative values are right and are not
clamped. Unbiased at any n, hence the first choice for tens of volumes. All pairs enter; the
"mean ± std over subsets" of other tools is no interval, and a linear kernel would see only means.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer
from audit.statistics.intervals import score_interval
from audit.statistics.mmd import cubic_kernel, mmd2, mmd2_of_sets, mmd2_se_in_pool
from audit.statistics.pool import FloatArray


def kernel_distance(*, real: FloatArray, synthetic: FloatArray) -> float:
    """KID of features (n, d) and (m, d): all pairs, no subsets.

    Raises:
        NotComputable: Fewer than two rows on a side.
    """
    return mmd2(real=real, synthetic=synthetic)


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        found = infer(
            lambda pool, a, b: mmd2_of_sets(pool, cubic_kernel, a, b),
            pool_for(comparison, extractor),
            rng=own,
            standard_error=lambda pool, a, b: mmd2_se_in_pool(pool, cubic_kernel, a, b),
            interval=score_interval,
        )
        return measured(
            comparison, found, **comparison.features(extractor).params, kernel="(xᵀy/d + 1)³"
        )

    return by_extractor(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "collapse", "intensity_shift"),
    needs=("holdout",),
    source="Bińkowski et al. 2018, arXiv:1801.01401, section 4; U-statistic over all pairs",
)
