"""Share of synthetic volumes that are not nearer to their training neighbor than its own neighbor.

A generator that copies nothing scores about one half (0.4 to 0.7 with the dimension), not one: the
reference is what the hold-out scores. A copy is never authentic.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import matched_features, one_volume_each, require_trusted
from audit.errors import NotComputable
from audit.metric import Measurement, Metric
from audit.neighbors import euclidean_top_k
from audit.statistics.conformal import share_by_subject

Rows = npt.NDArray[np.floating]


def authentic(*, train: Rows, synthetic: Rows) -> npt.NDArray[np.bool_]:
    """Which rows (m,) are farther from their nearest of train than that is from another of train.

    Raises:
        NotComputable: Fewer than two training volumes.
    """
    if len(train) < 2:
        raise NotComputable(f"{len(train)} training volumes", "at least 2")
    to_train, nearest = euclidean_top_k(synthetic, train, 1)
    distance, index = euclidean_top_k(train, train, 2)
    itself = index[:, 0] == np.arange(len(train))
    inside = np.where(itself, distance[:, 1], distance[:, 0])
    return np.asarray(to_train[:, 0] > inside[nearest[:, 0]])


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """Synthetic against train, with the hold-out against train as reference."""
    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = matched_features(comparison)
    flags = authentic(train=features.train, synthetic=features.synthetic)
    rows = one_volume_each(features.holdout_subjects)
    control = share_by_subject(
        authentic(train=features.train, synthetic=features.holdout[rows]),
        [features.holdout_subjects[i] for i in rows],
    )
    return Measurement(
        estimate=share_by_subject(flags, features.synthetic_subjects),
        reference={
            "real_vs_real": control.value,
            "real_vs_real_low": control.low,
            "real_vs_real_high": control.high,
        },
        params=features.params,
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("copying",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Alaa et al. 2022, arXiv:2102.08921",
)
