"""Approximate indexes: what they miss is measured, what they find is ranked exactly."""

import numpy as np
import pytest

from audit import neighbors
from audit.errors import BadInput, NotComputable
from audit.neighbors import approximate_kind, pearson_rows, search_params, top_k
from audit.neighbors.approximate import FACTORIES, copy_recall, disturbed

pytest.importorskip("faiss")
every_index = pytest.mark.parametrize("kind", FACTORIES)


@pytest.fixture(scope="module")
def database():
    """20 000 embeddings of patients that resemble each other, as anatomy does."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((40, 64)) * 0.8
    rows = shared[rng.integers(0, 40, 20_000)] + rng.standard_normal((20_000, 64))
    return pearson_rows(rows)


@every_index
def test_planted_copies_are_found_among_20_000(database, kind):
    recall = copy_recall(database, kind, correlation=0.9, copies=300)
    assert recall.value >= 0.99
    assert recall.n == 300


@every_index
def test_similarities_are_exact_and_of_the_rows_named(database, kind):
    rng = np.random.default_rng(1)
    queries = disturbed(database[:50], 0.95, rng)
    similarity, index = top_k(queries, database, 3, backend=kind)
    expected = np.einsum("nd,nkd->nk", queries.astype(float), database[index].astype(float))
    np.testing.assert_array_equal(similarity, expected.astype(np.float32))
    assert (np.diff(similarity, axis=1) <= 0).all()
    np.testing.assert_array_equal(index[:, 0], np.arange(50))


def test_a_copy_of_the_given_correlation_is_planted(database):
    copies = disturbed(database[:20], 0.7, np.random.default_rng(2))
    found = [np.corrcoef(a, b)[0, 1] for a, b in zip(copies, database, strict=False)]
    np.testing.assert_allclose(found, 0.7, atol=1e-5)


def test_auto_is_exact_below_ten_million_rows_and_says_what_it_did(database, monkeypatch):
    assert approximate_kind("auto", 9_999_999) == ""
    assert search_params(rows=10_000_000)["search"] == "sq8"
    exact = top_k(database[:5], database, 4)
    monkeypatch.setattr(neighbors, "APPROXIMATE_FROM", 1000)
    np.testing.assert_array_equal(top_k(database[:5], database, 4)[1][:, 0], exact[1][:, 0])
    assert approximate_kind("auto", len(database)) == "sq8"
    assert approximate_kind("numpy", len(database)) == ""


@every_index
def test_more_neighbors_than_the_cells_hold_are_searched_in_full(database, kind):
    few = database[:200]
    _, index = top_k(few[:7], few, 150, backend=kind)
    np.testing.assert_array_equal(index, top_k(few[:7], few, 150, backend="numpy")[1])


@every_index
def test_vectors_that_are_not_finite_are_refused(kind):
    rows = np.ones((5, 4), np.float32)
    rows[2, 1] = np.nan
    with pytest.raises(NotComputable, match="not finite"):
        top_k(rows, rows, 1, backend=kind)


def test_an_unknown_index_is_bad_input(database):
    with pytest.raises(BadInput, match="no neighbor backend 'lsh'"):
        top_k(database[:2], database, 1, backend="lsh")
