"""How much nearer the nearest training volume is than that of the next patient: 5th percentile.

A copy of one patient is much nearer to that patient than to the next (ratio near 0). Duplicates
within train that ``duplicates`` finds count as one patient.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.duplicates import patients_of
from audit.copies.search import matched_features, one_volume_each, require_trusted
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.metric import Measurement, Metric
from audit.neighbors import euclidean_top_k, pearson_rows

Rows = npt.NDArray[np.floating]


def neighbor_ratio(
    *, train: Rows, queries: Rows, patients: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float64]:
    """Distance to the nearest training row over that to the nearest of another patient (n,).

    Args:
        train: (n, d).
        queries: (m, d).
        patients: Number of each training row's patient; one row each where not given.

    Raises:
        NotComputable: Fewer than two training patients.
    """
    groups = np.arange(len(train)) if patients is None else patients
    if len(np.unique(groups)) < 2:
        raise NotComputable(f"{len(train)} training volumes of one patient", "at least 2 patients")
    wide = 1 + int(np.bincount(groups).max())
    distance, index = euclidean_top_k(pearson_rows(queries), pearson_rows(train), wide)
    other = (groups[index] != groups[index[:, :1]]).argmax(axis=1)
    second = distance[np.arange(len(distance)), other]
    return distance[:, 0] / np.maximum(second, 1e-12)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Synthetic against train, with the hold-out against train as reference."""
    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = matched_features(comparison)
    patients = patients_of(comparison)
    ratios = neighbor_ratio(train=features.train, queries=features.synthetic, patients=patients)
    rows = one_volume_each(features.holdout_subjects)
    control = bootstrap_by_subject(
        _fifth,
        neighbor_ratio(train=features.train, queries=features.holdout[rows], patients=patients),
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
    version=2,
    source="Nearest-neighbor distance ratio: Lowe 2004, doi 10.1023/B:VISI.0000029664.99615.94",
)
