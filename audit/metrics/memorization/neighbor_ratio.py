"""How much nearer the nearest training volume is than the second: its 5th percentile.

A copy of one patient is much nearer to that patient than to the next (ratio near 0). The ratio is
masked where train holds duplicates; look at ``duplicates`` first.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import extractor_of, one_volume_each, require_trusted
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.metric import Measurement, Metric
from audit.neighbors import euclidean_top_k, pearson_rows

Rows = npt.NDArray[np.floating]


def neighbor_ratio(*, train: Rows, queries: Rows) -> npt.NDArray[np.float64]:
    """Distance to the nearest over distance to the second nearest training row (n,).

    Raises:
        NotComputable: Fewer than two training volumes.
    """
    if len(train) < 2:
        raise NotComputable(f"{len(train)} training volumes", "at least 2")
    distance, _ = euclidean_top_k(pearson_rows(queries), pearson_rows(train), 2)
    return distance[:, 0] / np.maximum(distance[:, 1], 1e-12)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Synthetic against train, with the hold-out against train as reference."""
    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = comparison.features(extractor_of(comparison))
    ratios = neighbor_ratio(train=features.train, queries=features.synthetic)
    rows = one_volume_each(features.holdout_subjects)
    control = bootstrap_by_subject(
        _fifth,
        neighbor_ratio(train=features.train, queries=features.holdout[rows]),
        [features.holdout_subjects[i] for i in rows],
        rng=rng,
    )
    return Measurement(
        estimate=bootstrap_by_subject(_fifth, ratios, features.synthetic_subjects, rng=rng),
        reference={
            "real_vs_real": control.value,
            "real_vs_real_low": control.low,
            "real_vs_real_high": control.high,
        },
        params={**features.params, "percentile": 5},
    )


def _fifth(values: npt.NDArray[np.floating]) -> float:
    return float(np.percentile(values, 5))


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("copying",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Nearest-neighbor distance ratio: Lowe 2004, doi 10.1023/B:VISI.0000029664.99615.94",
)
