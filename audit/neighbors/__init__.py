"""Nearest neighbors: the only door to faiss.

Every backend (``faiss-gpu``, ``faiss-cpu``, ``torch``, ``numpy``) returns the same answer: it only
proposes candidates; similarities are recomputed in float64 and ties go to the lower index. The
approximate ones (``ivf``, ``sq8``, ``hnsw``) are ranked in the same way but may miss a neighbor.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import BadInput, NotComputable
from audit.neighbors.approximate import (
    APPROXIMATE_FROM,
    FACTORIES,
    LEAST_CANDIDATES,
    build_index,
    propose,
)
from audit.neighbors.backends import (
    BLOCK_BYTES,
    SEARCHES,
    Backend,
    Indices,
    choose,
    installed_faiss,
    merge,
    neighbor_checks,
)

__all__ = [
    "euclidean_top_k",
    "merge",
    "neighbor_checks",
    "pearson_rows",
    "search_params",
    "top_k",
    "top_k_of_others",
]

MARGIN = 2  # candidates beyond k, so that near ties at the cut are seen


def pearson_rows(features: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Rows (n, d) centered over their own features and scaled to length 1.

    The inner product of two such rows is the Pearson correlation of the originals.

    Raises:
        NotComputable: A row is not finite or constant (a dead encoder or a blank volume).
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2:
        raise BadInput(f"features of shape {rows.shape}", "rows (n, d)")
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1)
    dead = int((~np.isfinite(norms) | (norms < 1e-6)).sum())
    if dead:
        raise NotComputable(
            f"{dead} of {len(rows)} embeddings are constant or not finite",
            "none",
            "Look for blank volumes or an untrained encoder",
        )
    return (rows / norms[:, None]).astype(np.float32)


def top_k(
    queries: npt.ArrayLike, database: npt.ArrayLike, k: int, *, backend: Backend = "auto"
) -> tuple[npt.NDArray[np.float32], Indices]:
    """The k rows of the database with the largest inner product to each query.

    Args:
        queries: Rows (n, d).
        database: Rows (m, d); a memory map is read in blocks.
        k: Neighbors per query.
        backend: Who proposes candidates; ``auto`` takes the fastest exact one that works here,
            and from ten million rows on the approximate ``sq8``.

    Returns:
        Similarities (n, k), float32, descending, and their row numbers (n, k); equal
        similarities in order of row number.

    Raises:
        NotComputable: The database has fewer than k rows, or a row is not finite.
    """
    q, x = _matrix(queries), _matrix(database)
    kind = approximate_kind(backend, len(x))
    if kind:
        found, index = _approximate(q, x, k, kind)
    else:
        found, index = _nearest(q, x, k, backend, q, x, _inner)
    return found.astype(np.float32), index


def euclidean_top_k(
    queries: npt.ArrayLike, database: npt.ArrayLike, k: int, *, backend: Backend = "auto"
) -> tuple[npt.NDArray[np.float64], Indices]:
    """As ``top_k`` by Euclidean distance: distances (n, k), float64, ascending, and row numbers."""
    q, x = _matrix(queries), _matrix(database)
    center = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    half = -0.5 * np.einsum("nd,nd->n", x - center, x - center)
    coarse_q = np.hstack([q - center, np.ones((len(q), 1), np.float32)])
    coarse_x = np.hstack([x - center, half[:, None]]).astype(np.float32)
    found, index = _nearest(q, x, k, backend, coarse_q, coarse_x, _minus_squared_distance)
    return np.sqrt(-found), index


def top_k_of_others(
    queries: npt.ArrayLike,
    database: npt.ArrayLike,
    k: int,
    *,
    query_groups: Sequence[str],
    database_groups: Sequence[str],
    backend: Backend = "auto",
) -> tuple[npt.NDArray[np.float32], Indices]:
    """As ``top_k``, skipping database rows of the query's own group (patient).

    Raises:
        NotComputable: Some query has fewer than k rows of other groups.
    """
    names, codes = np.unique(np.asarray(database_groups), return_inverse=True)
    largest = int(np.bincount(codes).max())
    own = np.asarray(query_groups)
    if len(codes) - largest < k:
        raise NotComputable(
            f"{len(codes)} volumes of {len(names)} patients leave fewer than {k} of other patients",
            f"at least {k}",
        )
    similarity, index = top_k(queries, database, min(len(codes), k + largest), backend=backend)
    same = np.asarray(database_groups)[index] == own[:, None]
    keep = np.argsort(same, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarity, keep, axis=1), np.take_along_axis(index, keep, axis=1)


def search_params(backend: Backend = "auto", *, rows: int = 0) -> dict[str, str]:
    """What a result says of the search in so many rows: backend and version of its package."""
    chosen = approximate_kind(backend, rows) or choose(backend, 0.0)
    packages = ", ".join(f"{name} {version}" for name, version in installed_faiss().items())
    own = chosen in {"torch", "numpy"}
    return {"search": chosen, "search_package": chosen if own else packages}


def approximate_kind(backend: Backend, rows: int) -> str:
    """The approximate index for so many rows, or nothing where the search is exact."""
    if backend in FACTORIES:
        return backend
    if backend == "auto" and rows >= APPROXIMATE_FROM and choose(backend, 0.0) == "faiss-cpu":
        return "sq8"
    return ""


def _matrix(rows: npt.ArrayLike) -> npt.NDArray[np.float32]:
    array = rows if isinstance(rows, np.memmap) else np.asarray(rows)
    if array.ndim != 2:
        raise BadInput(f"vectors of shape {array.shape}", "rows (n, d)")
    if array.dtype == np.float32 and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, dtype=np.float32)


Exact = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], npt.NDArray[np.float64]]


def _inner(q: npt.NDArray[np.float32], x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    # rounded to float32, so that backends and callers see the same ties
    exact = np.einsum("nd,nkd->nk", q.astype(np.float64), x.astype(np.float64))
    return exact.astype(np.float32).astype(np.float64)


def _minus_squared_distance(
    q: npt.NDArray[np.float32], x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    apart = q[:, None].astype(np.float64) - x
    result: npt.NDArray[np.float64] = -np.einsum("nkd,nkd->nk", apart, apart)
    return result


def _nearest(
    q: npt.NDArray[np.float32],
    x: npt.NDArray[np.float32],
    k: int,
    backend: Backend,
    coarse_q: npt.NDArray[np.float32],
    coarse_x: npt.NDArray[np.float32],
    exact: Exact,
) -> tuple[npt.NDArray[np.float64], Indices]:
    """Candidates from a backend, widened while the cut is ambiguous, ranked exactly."""
    _check(q, x, k)
    chosen = choose(backend, 2.0 * len(q) * x.size)
    tolerance = 2e-6 * _longest(coarse_q) * _longest(coarse_x)
    similarity = np.empty((len(q), k))
    index = np.empty((len(q), k), np.int64)
    wide, todo = min(len(x), k + MARGIN), np.arange(len(q))
    while len(todo):
        unsure = []
        rows_at_once = max(1, BLOCK_BYTES // (32 * wide))
        for start in range(0, len(todo), rows_at_once):
            rows = todo[start : start + rows_at_once]
            coarse, found = _candidates(coarse_q[rows], coarse_x, wide, chosen)
            ranked, coarse, found = _rank(q[rows], x, coarse, found, exact)
            similarity[rows], index[rows] = ranked[:, :k], found[:, :k]
            if wide < len(x):
                at_the_cut = coarse[:, :k].min(axis=1) - coarse.min(axis=1)
                unsure.append(rows[at_the_cut <= tolerance])
        wide = min(len(x), 4 * wide)
        todo = np.concatenate(unsure) if unsure else todo[:0]
    return similarity, index


def _check(q: npt.NDArray[np.float32], x: npt.NDArray[np.float32], k: int) -> None:
    if q.shape[1] != x.shape[1]:
        raise BadInput(f"queries have {q.shape[1]} features, the database {x.shape[1]}", "the same")
    if not 1 <= k <= len(x):
        raise NotComputable(f"{k} neighbors were asked of {len(x)} vectors", f"at least {k}")


def _approximate(
    q: npt.NDArray[np.float32], x: npt.NDArray[np.float32], k: int, kind: str
) -> tuple[npt.NDArray[np.float64], Indices]:
    """Proposals of an index, ranked exactly; what it finds too few for is searched in full."""
    _check(q, x, k)
    _longest(q)  # refuses what is not finite, before the index is built
    _longest(x)
    index = build_index(x, kind)
    similarity, rows = np.empty((len(q), k)), np.empty((len(q), k), np.int64)
    step = max(1, BLOCK_BYTES // (32 * max(LEAST_CANDIDATES, 4 * k)))
    for start in range(0, len(q), step):
        part = q[start : start + step]
        found = propose(part, index, k)
        few = np.flatnonzero((found < 0).any(axis=1))
        ranked, _, found = _rank(part, x, np.zeros(found.shape, np.float32), found, _inner)
        similarity[start : start + step], rows[start : start + step] = ranked[:, :k], found[:, :k]
        if len(few):
            full = _nearest(part[few], x, k, "auto", part[few], x, _inner)
            similarity[start + few], rows[start + few] = full
    return similarity, rows


def _rank(
    q: npt.NDArray[np.float32],
    x: npt.NDArray[np.float32],
    coarse: npt.NDArray[np.float32],
    found: Indices,
    exact: Exact,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], Indices]:
    """Order candidates by exact similarity, then by row number."""
    ranked = np.empty(found.shape)
    step = max(1, (1 << 21) // max(1, found.shape[1] * x.shape[1]))
    for start in range(0, len(q), step):
        part = slice(start, start + step)
        ranked[part] = exact(q[part], np.asarray(x[found[part]]))
    order = np.lexsort((found, -ranked), axis=1)
    return (
        np.take_along_axis(ranked, order, axis=1),
        np.take_along_axis(coarse, order, axis=1),
        np.take_along_axis(found, order, axis=1),
    )


def _longest(rows: npt.NDArray[np.float32]) -> float:
    """Largest row norm, read in blocks.

    Raises:
        NotComputable: A row is not finite.
    """
    step = max(1, BLOCK_BYTES // (4 * max(1, rows.shape[1])))
    blocks = (rows[start : start + step] for start in range(0, len(rows), step))
    largest = [float(np.einsum("nd,nd->n", b, b).max()) for b in blocks if len(b)]
    if not np.isfinite(largest).all():
        raise NotComputable("some vectors are not finite", "finite features")
    return float(np.sqrt(max(largest, default=0.0)))


def _candidates(
    q: npt.NDArray[np.float32], x: npt.NDArray[np.float32], k: int, backend: str
) -> tuple[npt.NDArray[np.float32], Indices]:
    """Best k by float32 inner product; blocks of the database are merged exactly."""
    search = SEARCHES.get(backend)
    if search is None:
        raise BadInput(f"no neighbor backend '{backend}'", f"auto, {', '.join(SEARCHES)}")
    step = max(k, BLOCK_BYTES // (4 * x.shape[1]))
    best: tuple[Any, Any] | None = None
    for start in range(0, len(x), step):
        block = x if step >= len(x) else np.ascontiguousarray(x[start : start + step])
        similarity, index = search(q, block, min(k, len(block)))
        index = index.astype(np.int64) + start
        best = (
            (similarity, index)
            if best is None
            else merge((best[0], similarity), (best[1], index), k)
        )
    assert best is not None
    return best
