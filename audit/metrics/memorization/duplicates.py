"""Share of real volumes that occur again under another patient, within a cohort or across splits.

Exact: the same voxels after preprocessing. Near: the encoder and registration agree that one is a
copy of the other. Duplicates mask copies (two patients fit equally well), and a patient on both
sides of the split makes the hold-out useless: look here before any other number.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.copies.confirmation import shared_anatomy, still
from audit.copies.search import extractor_of
from audit.errors import NotComputable
from audit.estimate import exact
from audit.metric import Measurement, Metric, Outcome
from audit.neighbors import pearson_rows, top_k

LEAST_FIT = 0.98
CANDIDATES = 0.05  # most similar pairs that are looked at, as a share of the volumes


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:  # noqa: ARG001
    """Within train, within hold-out, and between them."""
    train, holdout = comparison.cohort("train"), comparison.cohort("holdout")
    pools = {"train": (train, train), "holdout": (holdout, holdout), "across": (holdout, train)}
    return {name: _measure(comparison, *pool) for name, pool in pools.items()}


def _measure(comparison: Comparison, queries: Cohort, database: Cohort) -> Measurement:
    pairs = same_voxels(comparison, queries, database)
    params: dict[str, object] = {"exact_pairs": len(pairs), "least_fit": LEAST_FIT}
    try:
        near = _near(comparison, queries, database)
        params["near_pairs"] = len(near - pairs)
        pairs |= near
    except NotComputable as error:
        params["near_pairs"] = f"not searched: {error.reason}"
    found = len({a for a, _ in pairs})
    return Measurement(
        estimate=exact(found / len(queries), len(set(queries.subjects))),
        reference={"real_vs_real": 0.0},
        params={**params, "volumes": found, "clusters": clusters(pairs, queries is database)},
    )


def same_voxels(comparison: Comparison, queries: Cohort, database: Cohort) -> set[tuple[int, int]]:
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


def clusters(pairs: set[tuple[int, int]], one_cohort: bool) -> int:  # noqa: FBT001
    """Connected groups of volumes that the pairs form."""
    if not pairs:
        return 0
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = np.array(sorted(pairs)).T
    b = b if one_cohort else b + a.max() + 1
    nodes, edges = np.unique(np.concatenate([a, b]), return_inverse=True)
    links = (np.ones(len(a)), (edges[: len(a)], edges[len(a) :]))
    return int(connected_components(coo_matrix(links, shape=(len(nodes), len(nodes))))[0])


def _near(comparison: Comparison, queries: Cohort, database: Cohort) -> set[tuple[int, int]]:
    from audit.copies.registration import align
    from audit.extractors.ssl3d import extent_mm

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
    likely = [(a, b) for _, a, b in sorted(found, reverse=True)[:most]]
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


def _digests(comparison: Comparison, cohort: Cohort) -> list[str]:
    def make() -> list[str]:
        return [_digest(comparison.preprocessing(case.image)) for case in cohort]

    return comparison.once(f"memorization:digests:{cohort.role}", make)


def _digest(volume: npt.NDArray[np.float32]) -> str:
    return hashlib.sha256(volume.tobytes()).hexdigest()


def _differ(queries: Cohort, a: int, database: Cohort, b: int) -> bool:
    same_cohort = queries is database or queries.role == database.role
    return queries.subjects[a] != database.subjects[b] if same_cohort else True


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Duplicates drive memorization: Somepalli et al. 2023, arXiv:2212.03860",
)
