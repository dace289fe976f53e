"""Candidates from approximate indexes, for databases too large to be searched in full.

They only propose; ``audit.neighbors`` ranks their proposals exactly. What they miss is measured by
``copy_recall``: rows are disturbed to a given correlation and looked up again.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import BadInput
from audit.estimate import Estimate, proportion
from audit.neighbors.backends import BLOCK_BYTES, Backend, Indices, load_faiss

APPROXIMATE_FROM = 10_000_000
LEAST_CANDIDATES = 64
ROWS_PER_CELL = 64
PROBED = 1 / 16  # share of cells that a query looks into
LINKS = 32

# Inverted file of float32; the same in 8 bits, a quarter of the memory; small-world graph.
FACTORIES = {"ivf": "IVF{cells},Flat", "sq8": "IVF{cells},SQ8", "hnsw": "HNSW{links},Flat"}


def propose(queries: npt.NDArray[np.float32], index: Any, k: int) -> Indices:
    """Row numbers (n, m) of at least k candidates by inner product; -1 where too few were found."""
    wanted = min(index.ntotal, max(LEAST_CANDIDATES, 4 * k))
    if hasattr(index, "hnsw"):
        index.hnsw.efSearch = max(index.hnsw.efSearch, 2 * wanted)
    found: Indices = index.search(np.ascontiguousarray(queries), wanted)[1]
    return found


def build_index(database: npt.NDArray[np.float32], kind: str, *, seed: int = 0) -> Any:
    """An index of rows (m, d), filled block by block; a memory map is never read as a whole.

    Args:
        database: Rows, of about length 1.
        kind: ``ivf``, ``sq8`` or ``hnsw``.
        seed: Of the rows that cells are fitted to. A graph also depends on the number of threads.
    """
    if kind not in FACTORIES:
        raise BadInput(f"no approximate index '{kind}'", f"one of {', '.join(FACTORIES)}")
    faiss = load_faiss()
    n, d = database.shape
    cells = max(1, min(round(4 * math.sqrt(n)), n // ROWS_PER_CELL))
    factory = FACTORIES[kind].format(cells=cells, links=LINKS)
    index = faiss.index_factory(d, factory, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(n, min(n, cells * ROWS_PER_CELL), replace=False))
        index.train(np.ascontiguousarray(database[rows]))
        index.nprobe = max(1, math.ceil(cells * PROBED))
    for block in _blocks(database):
        index.add(block)
    return index


def copy_recall(
    database: npt.NDArray[np.float32],
    kind: Backend,
    *,
    correlation: float = 0.9,
    copies: int = 300,
    seed: int = 0,
) -> Estimate:
    """Share of planted copies whose source is found first, as a search in full would find it.

    Args:
        database: Rows (m, d) from ``pearson_rows``.
        kind: ``ivf``, ``sq8`` or ``hnsw``.
        correlation: Between a copy and its source.
        copies: How many are planted.
        seed: Of which rows are copied and how they are disturbed.
    """
    from audit.neighbors import top_k

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(database), min(copies, len(database)), replace=False))
    planted = disturbed(np.asarray(database[rows]), correlation, rng)
    _, index = top_k(planted, database, 1, backend=kind)
    return proportion(int((index[:, 0] == rows).sum()), len(rows))


def disturbed(
    rows: npt.NDArray[np.float32], correlation: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Rows of length 1 and mean 0 that correlate so much with the given ones."""
    noise = rng.standard_normal(rows.shape)
    noise -= noise.mean(axis=1, keepdims=True)
    noise -= np.einsum("nd,nd->n", noise, rows)[:, None] * rows
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    mixed = correlation * rows + math.sqrt(1 - correlation**2) * noise
    return np.asarray(mixed, dtype=np.float32)


def _blocks(database: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    step = max(1, BLOCK_BYTES // (4 * database.shape[1]))
    for start in range(0, len(database), step):
        yield np.ascontiguousarray(database[start : start + step])
