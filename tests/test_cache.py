import numpy as np

from audit.cache import Cache, key_of


def test_a_second_call_computes_nothing(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"x": np.arange(3)}

    cache = Cache(tmp_path)
    first, second = cache.arrays("k" * 8, make), cache.arrays("k" * 8, make)
    assert len(calls) == 1
    assert (first["x"] == second["x"]).all()


def test_a_damaged_entry_is_made_again(tmp_path):
    cache = Cache(tmp_path)
    cache.arrays("k" * 8, lambda: {"x": np.arange(3)})
    cache.path("k" * 8).write_bytes(b"half a file")
    assert (cache.arrays("k" * 8, lambda: {"x": np.arange(3)})["x"] == [0, 1, 2]).all()


def test_any_changed_part_is_another_key():
    keys = {key_of(a=1, b=2), key_of(a=2, b=1), key_of(a=1, b=3), key_of(a=1)}
    assert len(keys) == 4
    assert key_of(b=2, a=1) == key_of(a=1, b=2)
