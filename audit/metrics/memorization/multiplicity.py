"""Most synthetic volumes that lead to one and the same training patient.

Counted over suspicious volumes only. A patient who is reproduced many times is at more risk than
many patients reproduced once each.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import find_matches
from audit.estimate import exact
from audit.metric import Measurement, Metric

DRAWS = 200


def hits_by_patient(
    nearest: npt.NDArray[np.integer], subjects: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    """How many volumes lead to each training patient that any leads to, descending."""
    _, counts = np.unique(np.asarray(subjects)[nearest], return_counts=True)
    return np.sort(counts)[::-1].astype(np.int64)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """The count, beside what as many held-out patients would show."""
    found = find_matches(comparison)
    subjects = comparison.train.subjects
    rows = np.flatnonzero(found.suspicious)
    hits = hits_by_patient(found.synthetic_index[rows, 0], subjects)
    top = float(hits[0]) if len(hits) else 0.0
    return Measurement(
        estimate=exact(top, len(rows)),
        reference={"real_vs_real": _control(found.holdout_index[:, 0], len(rows), subjects, rng)},
        params={**found.params, "patients_hit": len(hits), "suspicious": len(rows)},
        series={"volumes_per_patient": [int(h) for h in hits]},
    )


def _control(
    nearest: npt.NDArray[np.int64], n: int, subjects: tuple[str, ...], rng: np.random.Generator
) -> float:
    if n == 0:
        return 0.0
    size = min(n, len(nearest))
    draws = [
        hits_by_patient(rng.choice(nearest, size, replace=False), subjects)[0] for _ in range(DRAWS)
    ]
    return float(np.mean(draws))


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="volumes",
    needs=("holdout",),
    source="Carlini et al. 2023, arXiv:2301.13188, on repeated extraction",
)
