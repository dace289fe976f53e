"""Embeddings on disk: resumable, sharded, never mixed."""

import numpy as np
import pytest

from audit.errors import BadInput, NotComputable
from audit.neighbors import top_k
from audit.neighbors.embedding_store import open_embeddings, store_embeddings

IDS = [f"p{i}" for i in range(23)]
ROWS = np.random.default_rng(0).standard_normal((23, 8)).astype(np.float32)


def given(part):
    return ROWS[part.start : part.stop]


def fill(folder, embed=given, **changes):
    settings = {"ids": IDS, "dim": 8, "key": "k", "batch": 5, **changes}
    store_embeddings(folder, embed=embed, **settings)


def test_rows_and_ids_come_back_and_are_searched_from_the_map(tmp_path):
    fill(tmp_path / "s")
    store = open_embeddings(tmp_path / "s")
    assert store.ids == tuple(IDS)
    np.testing.assert_array_equal(store.rows, ROWS)
    for found, wanted in zip(top_k(ROWS, store.rows, 3), top_k(ROWS, ROWS, 3), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_interrupted_run_makes_only_what_is_missing(tmp_path):
    calls = []

    def dies(part):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(part)
        return given(part)

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, dies)
    with pytest.raises(NotComputable, match="13 of 23 embeddings are missing"):
        open_embeddings(tmp_path)
    again = []
    fill(tmp_path, lambda part: again.append(part) or given(part))
    assert again == [range(10, 15), range(15, 20), range(20, 23)]
    np.testing.assert_array_equal(open_embeddings(tmp_path).rows, ROWS)


def test_shards_fill_one_store(tmp_path):
    for rank in (1, 0, 2):
        fill(tmp_path, shard=(rank, 3))
    np.testing.assert_array_equal(open_embeddings(tmp_path).rows, ROWS)


@pytest.mark.parametrize("change", [{"key": "other"}, {"ids": IDS[::-1]}, {"dim": 4}])
def test_embeddings_of_something_else_are_refused(tmp_path, change):
    fill(tmp_path)
    with pytest.raises(BadInput, match="of other cases or another encoder"):
        fill(tmp_path, **change)


def test_rows_that_are_not_finite_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(NotComputable, match="not finite"):
        fill(tmp_path / "a", lambda part: given(part) * np.nan)
    with pytest.raises(BadInput, match="no embeddings in 'b'"):
        open_embeddings(tmp_path / "b")
