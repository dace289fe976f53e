"""Median distance to the closest training volume, over the same median of the hold-out.

One where synthetic volumes keep the distance that unseen patients keep; below one they are nearer.
A value of one is no proof against attacks on single patients.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import matched_features, one_volume_each, require_trusted
from audit.estimate import Estimate
from audit.metric import Measurement, Metric
from audit.neighbors import euclidean_top_k, pearson_rows

Rows = npt.NDArray[np.floating]
RESAMPLES = 1000


def closest_record(*, train: Rows, queries: Rows) -> npt.NDArray[np.float64]:
    """Distance (n,) of unit embeddings to the nearest training row, in [0, 2]."""
    return euclidean_top_k(pearson_rows(queries), pearson_rows(train), 1)[0][:, 0]


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Ratio of medians; both samples are redrawn, one volume per held-out patient."""
    from scipy.stats import mannwhitneyu

    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = matched_features(comparison)
    rows = one_volume_each(features.holdout_subjects)
    made = closest_record(train=features.train, queries=features.synthetic)
    held = closest_record(train=features.train, queries=features.holdout[rows])
    half = rng.permuted(np.tile(held, (RESAMPLES, 1)), axis=1)
    middle = len(held) // 2
    floor = np.median(half[:, :middle], axis=1) / np.median(half[:, middle:], axis=1)
    low, high = np.quantile(floor, [0.025, 0.975])
    return Measurement(
        estimate=ratio_of_medians(made, held, rng),
        reference={
            "real_vs_real": 1.0,
            "real_vs_real_low": float(low),
            "real_vs_real_high": float(high),
        },
        p_value=float(mannwhitneyu(made, held, alternative="less").pvalue),
        params={**features.params, "test": "Mann-Whitney U, synthetic nearer than hold-out"},
    )


def ratio_of_medians(
    made: npt.NDArray[np.float64], held: npt.NDArray[np.float64], rng: np.random.Generator
) -> Estimate:
    """Median of one sample over that of another with a percentile bootstrap of both."""
    tops = np.median(rng.choice(made, (RESAMPLES, len(made))), axis=1)
    bottoms = np.median(rng.choice(held, (RESAMPLES, len(held))), axis=1)
    value = float(np.median(made) / np.median(held))
    low, high = np.quantile(tops / bottoms, [0.025, 0.975])
    return Estimate(
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        n=min(len(made), len(held)),
        method="percentile bootstrap of both samples",
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("copying",),
    bounds=(0.0, np.inf),
    needs=("holdout",),
    source="Distance to closest record; its limits: Yao et al. 2025, arXiv:2505.01524",
)
