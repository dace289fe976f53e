"""Share of synthetic volumes that resemble a training patient more than 95 % of held-out ones do.

Held-out and synthetic volumes are looked up in the same training cohort, so pool sizes cancel: a
generator that copies nothing scores 0.05 at any size. It counts similarity, not proven copies
(``copy_rate`` does), and it is blind where the encoder is: see ``encoder_auc``.
"""

import numpy as np

from audit.comparison import Comparison
from audit.copies.search import ALPHA, FALSE_DISCOVERIES, find_matches
from audit.metric import Measurement, Metric
from audit.statistics.conformal import (
    chance_of_more_flagged,
    excess,
    flagged_range,
    share_by_subject,
    smallest_detectable,
)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """Conformal p-values of all synthetic volumes against one held-out volume per patient."""
    found = find_matches(comparison)
    n, n_null = len(found.p_values), len(found.holdout)
    low, high = flagged_range(n, n_null, ALPHA)
    share = share_by_subject(found.suspicious, comparison.synthetic.subjects)
    fewest = smallest_detectable(n, n_null, FALSE_DISCOVERIES)
    return Measurement(
        estimate=share,
        reference={
            "real_vs_real": ALPHA,
            "real_vs_real_low": low,
            "real_vs_real_high": high,
            "excess": excess(share.value, ALPHA),
            "null": ALPHA,
        },
        p_value=chance_of_more_flagged(int(found.suspicious.sum()), n, n_null, ALPHA),
        params={
            **found.params,
            "test": "number of flagged volumes against its beta-binomial law under no copying",
            "alpha": ALPHA,
            "flagged_at_fdr": int(found.discoveries.sum()),
            "fdr": FALSE_DISCOVERIES,
            "fewest_detectable": fewest if fewest <= n else "none at this many held-out patients",
            "copies_above_holdout_maximum": int(
                (found.synthetic[:, 0] > found.holdout.max()).sum()
            ),
        },
        series={
            "synthetic_to_train": [float(v) for v in found.synthetic[:, 0]],
            "holdout_to_train": [float(v) for v in found.holdout],
            "train_to_train": [float(v) for v in found.train],
            "threshold": [float(np.quantile(found.holdout, 1 - ALPHA, method="higher"))],
        },
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("copying",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Conformal p-values: Bates et al. 2023, arXiv:2104.08279; encoder: arXiv:2402.01054",
)
