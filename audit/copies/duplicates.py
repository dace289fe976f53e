"""Real volumes that occur again under another patient: found before any copy is scored.

A copy of a patient who is in train twice fits both alike; both count as one patient then.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.copies.anatomy import shared_anatomy, still
from audit.copies.search import extractor_of
from audit.neighbors import pearson_rows, top_k

LEAST_FIT = 0.98
CANDIDATES = 0.05  # most similar pairs that are looked at, as a share of the volumes

Pairs = set[tuple[int, int]]


def same_voxels(comparison: Comparison, queries: Cohort, database: Cohort) -> Pairs:
    """Pairs of rows of different patients with byte-identical preprocessed voxels."""
    places: dict[str, list[int]] = {}
    for row, digest in enumerate(_digests(comparison, database)):
        places.setdefault(digest, []).append(row)
    return {
        (row, twin)
        for row, digest in enumerate(_digests(comparison, queries))
        for twin in places.get(digest, [])
        if _differ(queries, row, database, twin)
    }


def near_duplicates(comparison: Comparison, queries: Cohort, database: Cohort) -> Pairs:
    """Pairs of rows of different patients that fit each other once aligned.

    Only the most similar 5 % of pairs, by the copy encoder, are aligned.

    Raises:
        NotComputable: There is no copy encoder.
    """
    key = f"memorization:near:{queries.role}:{database.role}"
    return comparison.once(key, lambda: _near(comparison, queries, database))


def patients_of(comparison: Comparison) -> npt.NDArray[np.int64]:
    """A number (n,) for the patient of each training volume; duplicates are of one patient."""
    return comparison.once("memorization:patients", lambda: _patients(comparison))


def linked(n: int, pairs: Pairs) -> npt.NDArray[np.int64]:
    """The connected group (n,) of each row; rows that no pair names stand alone."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n))
    groups: npt.NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
    return groups


def _patients(comparison: Comparison) -> npt.NDArray[np.int64]:
    train = comparison.train
    pairs = same_voxels(comparison, train, train) | near_duplicates(comparison, train, train)
    first = {subject: row for row, subject in reversed(list(enumerate(train.subjects)))}
    own = {(row, first[subject]) for row, subject in enumerate(train.subjects)}
    return linked(len(train), pairs | own)


def _near(comparison: Comparison, queries: Cohort, database: Cohort) -> Pairs:
    from audit.copies.registration import align
    from audit.extractors.ssl3d import extent_mm

    likely = _likely(comparison, queries, database)
    if not likely:
        return set()
    preprocessing = comparison.preprocessing
    fit = align(
        np.stack([still(preprocessing(queries[a].image)) for a, _ in likely]),
        np.stack([still(preprocessing(database[b].image)) for _, b in likely]),
        shared_anatomy(comparison),
        extent_mm(preprocessing),
        device=comparison.workshop.device,
    )
    return {pair for pair, value in zip(likely, fit.partial, strict=True) if value >= LEAST_FIT}


def _likely(comparison: Comparison, queries: Cohort, database: Cohort) -> list[tuple[int, int]]:
    """The pairs of different patients that the encoder finds most alike, best first."""
    features = comparison.features(extractor_of(comparison))
    rows = {"train": features.train, "holdout": features.holdout}
    k = min(4, len(database))
    similarity, index = top_k(
        pearson_rows(rows[queries.role]), pearson_rows(rows[database.role]), k
    )
    found = [
        (float(similarity[a, j]), a, int(index[a, j]))
        for a in range(len(queries))
        for j in range(k)
        if _differ(queries, a, database, int(index[a, j]))
    ]
    most = max(4, round(CANDIDATES * len(queries)))
    return [(a, b) for _, a, b in sorted(found, reverse=True)[:most]]


def _digests(comparison: Comparison, cohort: Cohort) -> list[str]:
    def make() -> list[str]:
        return [_digest(comparison.preprocessing(case.image)) for case in cohort]

    return comparison.once(f"memorization:digests:{cohort.role}", make)


def _digest(volume: npt.NDArray[np.float32]) -> str:
    return hashlib.sha256(volume.tobytes()).hexdigest()


def _differ(queries: Cohort, a: int, database: Cohort, b: int) -> bool:
    same_cohort = queries is database or queries.role == database.role
    return queries.subjects[a] != database.subjects[b] if same_cohort else True
