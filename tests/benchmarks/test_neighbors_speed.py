"""Search against its peers in one run: ratios, not seconds."""

import time

import numpy as np
import pytest

from audit.neighbors import pearson_rows, top_k

pytestmark = pytest.mark.benchmark


def fastest(*actions, repeats=5):
    """Least seconds of each action; they take turns, so that a busy moment hits all alike."""
    seconds = [[] for _ in actions]
    for _ in range(repeats):
        for spent, action in zip(seconds, actions, strict=True):
            start = time.perf_counter()
            action()
            spent.append(time.perf_counter() - start)
    return [min(spent) for spent in seconds]


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return pearson_rows(rng.standard_normal((1000, 128))), pearson_rows(
        rng.standard_normal((100_000, 128))
    )


def test_exact_ties_cost_at_most_a_tenth_over_raw_faiss(vectors):
    faiss = pytest.importorskip("faiss")
    queries, database = vectors
    metric = faiss.METRIC_INNER_PRODUCT
    ours, raw = fastest(
        lambda: top_k(queries, database, 5, backend="faiss-cpu"),
        lambda: faiss.knn(queries, database, 5, metric=metric),
    )
    print(f"top_k / raw faiss: {ours / raw:.2f}")
    assert ours <= 1.1 * raw


def test_faster_than_scikit_learn(vectors):
    from sklearn.neighbors import NearestNeighbors

    queries, database = vectors
    peer = NearestNeighbors(n_neighbors=5, algorithm="brute", metric="sqeuclidean").fit(database)
    ours, theirs = fastest(
        lambda: top_k(queries, database, 5, backend="faiss-cpu"), lambda: peer.kneighbors(queries)
    )
    print(f"scikit-learn / top_k: {theirs / ours:.2f}")
    assert theirs >= 1.5 * ours
