"""Share of training volumes with a synthetic volume nearer than a held-out one would be.

As ``dar_protocol[memorized]``, with synthetic and hold-out cut to the same number of patients in
each of many draws, so that the null is 5 % at any pool size.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import matched_features, one_volume_each, require_trusted
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.metric import Measurement, Metric
from audit.neighbors import pearson_rows
from audit.statistics.conformal import excess

Rows = npt.NDArray[np.floating]
ALPHA = 0.05
DRAWS = 50


def memorized_share(
    *, train: Rows, holdout: Rows, synthetic: Rows, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """How often (n,) each training volume is beyond the threshold, over size-matched draws.

    In each draw the hold-out is halved: one half sets the threshold and the other is not used, so
    that threshold and synthetic come from equally many volumes.
    """
    size = min(len(holdout), len(synthetic))
    train, holdout, synthetic = (pearson_rows(r) for r in (train, holdout, synthetic))
    to_holdout, to_synthetic = train @ holdout.T, train @ synthetic.T
    often = np.zeros(len(train))
    for _ in range(DRAWS):
        null = to_holdout[:, rng.choice(len(holdout), size, replace=False)].max(axis=1)
        made = to_synthetic[:, rng.choice(len(synthetic), size, replace=False)].max(axis=1)
        often += made > np.quantile(null, 1 - ALPHA, method="higher")
    return often / DRAWS


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Averaged over draws; the interval redraws training patients."""
    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = matched_features(comparison)
    if len(features.train) < round(1 / ALPHA):
        raise NotComputable(
            f"{len(features.train)} training volumes set no 95 % threshold", "at least 20"
        )
    often = memorized_share(
        train=features.train,
        holdout=features.holdout[one_volume_each(features.holdout_subjects)],
        synthetic=features.synthetic,
        rng=rng,
    )
    share = bootstrap_by_subject(np.mean, often, features.train_subjects, rng=rng)
    return Measurement(
        estimate=share,
        reference={"real_vs_real": ALPHA, "null": ALPHA, "excess": excess(share.value, ALPHA)},
        params={**features.params, "alpha": ALPHA, "draws": DRAWS},
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("copying",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Dar et al. 2024, arXiv:2402.01054, with equal pool sizes",
)
