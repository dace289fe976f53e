"""Share of synthetic volumes with a twin: another synthetic volume nearer than real patients are.

Synthetic and hold-out are cut to equal size in each of many draws; 5 % where the generator varies
as the hold-out does. High where it repeats itself, whether or not what it repeats is a patient.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import extractor_of, one_volume_each, require_trusted
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.metric import Measurement, Metric
from audit.neighbors import pearson_rows
from audit.statistics.conformal import conformal_p_values

Rows = npt.NDArray[np.floating]
ALPHA = 0.05
DRAWS = 50


def near_duplicates(
    *, holdout: Rows, synthetic: Rows, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """How often (m,) each synthetic volume has a twin, over size-matched draws that hold it.

    Raises:
        NotComputable: Fewer than 20 of either.
    """
    size = min(len(holdout), len(synthetic))
    if size < round(1 / ALPHA):
        raise NotComputable(
            f"{len(holdout)} held-out and {len(synthetic)} synthetic volumes", "at least 20 of each"
        )
    real, made = (_similarities(rows) for rows in (holdout, synthetic))
    hits, seen = np.zeros(len(synthetic)), np.zeros(len(synthetic))
    for _ in range(DRAWS):
        null = rng.choice(len(holdout), size, replace=False)
        rows = rng.choice(len(synthetic), size, replace=False)
        nearest = made[np.ix_(rows, rows)].max(axis=1)
        p_values = conformal_p_values(real[np.ix_(null, null)].max(axis=1), nearest)
        hits[rows] += p_values <= ALPHA
        seen[rows] += 1
    return hits / np.maximum(seen, 1)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Averaged over draws; the interval redraws synthetic volumes."""
    for role in ("holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = comparison.features(extractor_of(comparison))
    holdout = features.holdout[one_volume_each(features.holdout_subjects)]
    often = near_duplicates(holdout=holdout, synthetic=features.synthetic, rng=rng)
    return Measurement(
        estimate=bootstrap_by_subject(np.mean, often, features.synthetic_subjects, rng=rng),
        reference={"real_vs_real": ALPHA, "null": ALPHA},
        params={**features.params, "alpha": ALPHA, "draws": DRAWS},
    )


def _similarities(rows: Rows) -> npt.NDArray[np.float32]:
    unit = pearson_rows(rows)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    return similarity


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("collapse",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Collapse check beside copy detection: Stein et al. 2023, arXiv:2306.04675",
)
