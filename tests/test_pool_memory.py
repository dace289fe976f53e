"""The one matrix that neighbor statistics of a pool share: right, and alone in memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from audit.statistics import pool as pool_module
from audit.statistics.manifold import manifold_in_pool
from audit.statistics.pool import Pool, pool_of


def pool_with(n: int, d: int) -> Pool:
    rng = np.random.default_rng(0)
    train, holdout, synthetic = (rng.normal(3, 1, size=(k, d)) for k in (2 * n, n, n))
    return pool_of(train=train, holdout=holdout, synthetic=synthetic)


@pytest.mark.parametrize("block_bytes", [1, 2000, 2**25])
def test_distances_are_scipys_whatever_the_block(block_bytes: int, monkeypatch) -> None:
    monkeypatch.setattr(pool_module, "BLOCK_BYTES", block_bytes)
    pool = pool_with(12, 5)
    np.testing.assert_allclose(
        pool.distances, cdist(pool.rows, pool.rows, "sqeuclidean"), atol=1e-12
    )


def test_a_pool_keeps_one_matrix_of_distances_and_no_more(monkeypatch) -> None:
    monkeypatch.setattr(pool_module, "BLOCK_BYTES", 2**18)
    pool = pool_with(400, 8)
    matrix = 8 * 1600**2
    tracemalloc.start()
    manifold_in_pool(pool, pool.holdout, pool.synthetic)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1.05 * matrix
    assert peak < 1.5 * matrix  # three matrices before: products, distances and a temporary
