import subprocess
import sys
import textwrap

import numpy as np
import pytest

from audit.errors import NotComputable
from audit.neighbors import backends as neighbor_backends
from audit.neighbors import (
    euclidean_top_k,
    merge,
    neighbor_checks,
    pearson_rows,
    top_k,
    top_k_of_others,
)

BACKENDS = ["faiss-cpu", "torch", "numpy"]
every_backend = pytest.mark.parametrize("backend", BACKENDS)


def brute_force(queries, database, k):
    similarity = (queries.astype(np.float64) @ database.astype(np.float64).T).astype(np.float32)
    index = np.lexsort((np.broadcast_to(np.arange(len(database)), similarity.shape), -similarity))
    index = index[:, :k]
    return np.take_along_axis(similarity, index, axis=1), index


def rows(n, d, seed):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


@every_backend
def test_every_backend_equals_brute_force(backend):
    queries, database = pearson_rows(rows(40, 32, 0)), pearson_rows(rows(500, 32, 1))
    similarity, index = top_k(queries, database, 7, backend=backend)
    expected, expected_index = brute_force(queries, database, 7)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_allclose(similarity, expected, atol=1e-6)


@every_backend
def test_pearson_correlation_equals_scipy(backend):
    from scipy.spatial.distance import cdist

    queries, database = rows(20, 16, 2), rows(60, 16, 3)
    similarity, _ = top_k(pearson_rows(queries), pearson_rows(database), 3, backend=backend)
    expected = 1 - np.sort(cdist(queries, database, "correlation"), axis=1)[:, :3]
    np.testing.assert_allclose(similarity, expected, atol=1e-5)


@every_backend
def test_ties_go_to_the_lower_row_even_inside_a_large_cluster_of_duplicates(backend):
    database = np.repeat(rows(3, 24, 4), 200, axis=0)
    _, index = top_k(database[:2] * 0 + database[250], database, 30, backend=backend)
    assert (index[:, :30] == 200 + np.arange(30)).all()


@every_backend
def test_euclidean_neighbors_equal_brute_force_far_from_the_origin(backend):
    queries, database = rows(15, 8, 5) + 100, rows(200, 8, 6) + 100
    distance, index = euclidean_top_k(queries, database, 4, backend=backend)
    apart = np.linalg.norm(queries[:, None].astype(float) - database[None], axis=-1)
    np.testing.assert_array_equal(index, np.argsort(apart, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(distance, np.sort(apart, axis=1)[:, :4], rtol=1e-6)


def test_blocks_and_a_memory_map_give_the_same_answer_as_one_array(tmp_path, monkeypatch):
    queries, database = rows(9, 16, 7), rows(1000, 16, 8)
    expected = top_k(queries, database, 5)
    stored = np.memmap(tmp_path / "rows.f32", dtype=np.float32, mode="w+", shape=database.shape)
    stored[:] = database
    monkeypatch.setattr("audit.neighbors.BLOCK_BYTES", 64 * 100)
    for found, wanted in zip(top_k(queries, stored, 5), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_merged_shards_equal_one_search():
    queries, database = rows(9, 16, 9), rows(400, 16, 10)
    parts = [top_k(queries, database[low : low + 100], 5) for low in range(0, 400, 100)]
    similarity, index = merge(
        [p[0] for p in parts], [p[1] + 100 * i for i, p in enumerate(parts)], 5
    )
    np.testing.assert_array_equal(index, top_k(queries, database, 5)[1])
    np.testing.assert_array_equal(similarity, top_k(queries, database, 5)[0])


def test_a_patient_is_never_its_own_neighbor_even_with_exact_duplicates():
    database = np.repeat(rows(6, 8, 11), 2, axis=0)
    patients = [f"p{i // 4}" for i in range(12)]
    similarity, index = top_k_of_others(
        database, database, 2, query_groups=patients, database_groups=patients
    )
    assert all(patients[j] != patients[i] for i in range(12) for j in index[i])
    full = database.astype(float) @ database.T
    full[np.equal.outer(patients, patients)] = -np.inf
    np.testing.assert_allclose(similarity[:, 0], full.max(axis=1), rtol=1e-6)


def test_too_few_others_is_said():
    with pytest.raises(NotComputable, match="fewer than 1 of other patients"):
        top_k_of_others(
            rows(3, 4, 0), rows(3, 4, 0), 1, query_groups=["a"] * 3, database_groups=["a"] * 3
        )


def test_a_constant_embedding_is_an_error_and_not_a_nan():
    features = rows(5, 8, 12)
    features[3] = 2.0
    with pytest.raises(NotComputable, match="1 of 5 embeddings are constant"):
        pearson_rows(features)


@every_backend
def test_vectors_that_are_not_finite_are_refused(backend):
    database = rows(5, 8, 12)
    database[3, 2] = np.nan
    with pytest.raises(NotComputable, match="not finite"):
        top_k(database, database, 1, backend=backend)


def test_more_neighbors_than_vectors_is_said():
    with pytest.raises(NotComputable, match="5 neighbors were asked of 3 vectors"):
        top_k(rows(2, 4, 0), rows(3, 4, 0), 5)


def test_without_a_usable_gpu_the_gpu_backend_is_a_reason_and_not_a_crash(monkeypatch):
    monkeypatch.setattr(neighbor_backends, "gpu_works", lambda: False)
    with pytest.raises(NotComputable, match="cannot search on a GPU"):
        top_k(rows(2, 4, 0), rows(3, 4, 0), 1, backend="faiss-gpu")


def test_two_faiss_packages_fail_the_doctor(monkeypatch):
    both = {"faiss-cpu": "1.15.1", "faiss-gpu": "1.15.1"}
    monkeypatch.setattr(neighbor_backends, "installed_faiss", lambda: both)
    name, status, message, fix = neighbor_checks()[0]
    assert (name, status) == ("faiss", "FAIL")
    assert "overwrite each other" in message
    assert "pip uninstall faiss-cpu faiss-gpu" in fix


def test_a_child_forked_after_a_search_does_not_hang():
    script = """
        import os, numpy as np
        from audit.neighbors import top_k
        rows = np.random.default_rng(0).standard_normal((3000, 64)).astype(np.float32)
        before = top_k(rows, rows, 3, backend="faiss-cpu")[1]
        child = os.fork()
        if child == 0:
            os._exit(0 if (top_k(rows, rows, 3)[1] == before).all() else 1)
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], timeout=60, check=False
    )
    assert done.returncode == 0
