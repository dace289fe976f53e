"""How many planted copies does the search find? Recall by kind of disturbance.

Training volumes are disturbed and looked up as if they were synthetic. Found means confirmed by
registration with the true source patient. What is not found here cannot be ruled out by any other
number of this section; ``suspicious`` in the parameters is the share with p <= 0.05 by the encoder
alone.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.candidates import candidates
from audit.copies.confirmation import confirm, confirmed_by, fit_candidates
from audit.copies.duplicates import patients_of
from audit.copies.planted import LADDER, plant
from audit.copies.search import (
    ALPHA,
    extractor_of,
    matched_features,
    one_volume_each,
    search_matches,
)
from audit.metric import Measurement, Metric, Outcome
from audit.neighbors import pearson_rows, top_k
from audit.statistics.conformal import conformal_p_values, share_by_subject

MOST = 8


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One variant a rung."""
    subjects = comparison.cohort("train").subjects
    rows = one_volume_each(subjects)
    rows = np.sort(rng.choice(rows, min(MOST, len(rows)), replace=False))
    search_matches(comparison)
    known = comparison.workshop.autoencode is not None
    rungs = [rung for rung in LADDER if known or rung != "autoencoded"]
    return {rung: _measure(comparison, rows, rung) for rung in rungs}


def _measure(comparison: Comparison, rows: npt.NDArray[np.intp], rung: str) -> Measurement:
    volumes = np.stack([comparison.preprocessing(comparison.train[int(r)].image) for r in rows])
    seed = comparison.workshop.seed
    copies = plant(volumes, rung, comparison.preprocessing, comparison.workshop, seed=seed)
    embedded = _embedded(comparison, copies)
    fit = fit_candidates(list(copies), candidates(comparison, embedded), comparison)
    patients = patients_of(comparison)
    right = patients[fit.source] == patients[rows]
    hits = confirmed_by(fit, confirm(comparison).null) & right
    train = pearson_rows(matched_features(comparison).train)
    similarity, _ = top_k(pearson_rows(embedded), train, 1)
    p_values = conformal_p_values(search_matches(comparison).holdout, similarity[:, 0])
    return Measurement(
        estimate=share_by_subject(hits, [comparison.train.subjects[int(r)] for r in rows]),
        reference={"ceiling": 1.0, "null": 0.0},
        params={
            "extractor": extractor_of(comparison),
            "rung": LADDER[rung],
            "suspicious": float((p_values <= ALPHA).mean()),
            "alpha": ALPHA,
        },
    )


def _embedded(comparison: Comparison, copies: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    encoder = comparison.encoder(extractor_of(comparison))
    step = encoder.batch_size
    return np.concatenate(
        [encoder.embed(copies[i : i + step]) for i in range(0, len(copies), step)]
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    version=2,  # as copy_rate
    source="Sensitivity of copy filters: Koeken et al. 2025, arXiv:2510.01793",
)
