"""Does the test keep its level? One half of the hold-out judged by the other.

The share of held-out patients with p <= 0.05, over random halves; 0.05 or less where the test is
sound. A higher share means that the two halves differ, and with them the whole premise.
"""

import numpy as np

from audit.comparison import Comparison
from audit.copies.search import ALPHA, find_matches
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.metric import Measurement, Metric
from audit.statistics.conformal import conformal_p_values, flagged_range

DRAWS = 200


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Mean and spread over halvings, beside the exact range of one halving."""
    found = find_matches(comparison)
    scores = found.holdout
    half = len(scores) // 2
    if half < round(1 / ALPHA) - 1:
        raise NotComputable(
            f"halves of {half} held-out patients cannot show p <= {ALPHA}", "at least 19"
        )
    shares = []
    for _ in range(DRAWS):
        order = rng.permutation(len(scores))
        p_values = conformal_p_values(scores[order[:half]], scores[order[half:]])
        shares.append(float((p_values <= ALPHA).mean()))
    low, high = flagged_range(len(scores) - half, half, ALPHA)
    value = float(np.mean(shares))
    spread = np.quantile(shares, [0.025, 0.975])
    return Measurement(
        estimate=Estimate(
            value=value,
            low=min(value, float(spread[0])),
            high=max(value, float(spread[1])),
            n=len(scores),
            method="range over random halves",
        ),
        reference={"real_vs_real": ALPHA, "real_vs_real_low": low, "real_vs_real_high": high},
        params={**found.params, "alpha": ALPHA, "draws": DRAWS},
    )


METRIC = Metric(
    compute=compute,
    better="none",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Bates et al. 2023, arXiv:2104.08279",
)
