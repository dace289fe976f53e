"""How many planted copies does the search find? Recall by kind of disturbance.

Training volumes are disturbed and looked up as if they were synthetic. Found means p <= 0.05 with
the true source among the two candidates; ``confirmed`` adds registration. What is not found here
cannot be ruled out by any other number of this section.
"""

import numpy as np
import numpy.typing as npt

from audit.cohort import Case, cohort_of
from audit.comparison import Comparison
from audit.copies.confirmation import best_of_candidates, confirm, confirmed_by
from audit.copies.planted import LADDER, plant
from audit.copies.search import ALPHA, extractor_of, find_matches, one_volume_each
from audit.metric import Measurement, Metric, Outcome
from audit.neighbors import pearson_rows, top_k
from audit.statistics.conformal import conformal_p_values, share_by_subject
from audit.volume import Volume

MOST = 20
CONFIRMED = 8


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One variant a rung, then both stages on rotated, shifted and noised copies."""
    subjects = comparison.cohort("train").subjects
    rows = one_volume_each(subjects)
    rows = np.sort(rng.choice(rows, min(MOST, len(rows)), replace=False))
    find_matches(comparison)
    measured: dict[str, Outcome] = {}
    for rung in LADDER:
        if rung == "autoencoded" and comparison.workshop.autoencode is None:
            continue
        copies = _copies(comparison, rows, rung)
        hits, _ = _found(comparison, copies, rows)
        measured[rung] = _measurement(comparison, hits, rows, {"rung": LADDER[rung]})
    measured["confirmed"] = _both_stages(comparison, rows[:CONFIRMED])
    return measured


def _both_stages(comparison: Comparison, rows: npt.NDArray[np.intp]) -> Measurement:
    copies = _copies(comparison, rows, "moved_and_noised")
    hits, index = _found(comparison, copies, rows)
    result = confirm(comparison)
    grid = comparison.preprocessing
    low, high = grid.window
    planted = cohort_of(
        "synthetic",
        [
            Case(
                id=f"planted-{i}",
                subject=f"planted-{i}",
                image=Volume(
                    array=(copy + 1) / 2 * np.float32(high - low) + np.float32(low),
                    spacing_mm=grid.spacing_mm,
                ),
            )
            for i, copy in enumerate(copies)
        ],
    )
    ncc, _, gap, source = best_of_candidates(planted, np.arange(len(rows)), index, comparison)
    fits = confirmed_by(ncc, gap, result.null_ncc, result.null_gap) & (source == rows)
    return _measurement(comparison, hits & fits, rows, {"rung": LADDER["moved_and_noised"]})


def _copies(
    comparison: Comparison, rows: npt.NDArray[np.intp], rung: str
) -> npt.NDArray[np.float32]:
    volumes = np.stack([comparison.preprocessing(comparison.train[int(r)].image) for r in rows])
    return plant(
        volumes, rung, comparison.preprocessing, comparison.workshop, seed=comparison.workshop.seed
    )


def _found(
    comparison: Comparison, copies: npt.NDArray[np.float32], rows: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    encoder = comparison.encoder(extractor_of(comparison))
    step = encoder.batch_size
    embedded = [encoder.embed(copies[i : i + step]) for i in range(0, len(copies), step)]
    train = pearson_rows(comparison.features(extractor_of(comparison)).train)
    similarity, index = top_k(pearson_rows(np.concatenate(embedded)), train, min(2, len(train)))
    p_values = conformal_p_values(find_matches(comparison).holdout, similarity[:, 0])
    return (p_values <= ALPHA) & (index == rows[:, None]).any(axis=1), index


def _measurement(
    comparison: Comparison,
    hits: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.intp],
    params: dict[str, str],
) -> Measurement:
    subjects = [comparison.train.subjects[int(r)] for r in rows]
    return Measurement(
        estimate=share_by_subject(hits, subjects),
        reference={"ceiling": 1.0, "null": ALPHA},
        params={"extractor": extractor_of(comparison), "alpha": ALPHA, **params},
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Sensitivity of copy filters: Koeken et al. 2025, arXiv:2510.01793",
)
