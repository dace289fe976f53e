"""NumPy files: axes in front are added, geometry is unknown, nothing is unpickled."""

from pathlib import Path

import numpy as np
import pytest

from audit.errors import UnusableFile
from audit.volume import read_volume


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_missing_axes_are_added_in_front(tmp_path: Path, rank: int):
    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)[5 - rank :]).astype(np.float64)
    np.save(tmp_path / "v.npy", array)
    volume = read_volume(tmp_path / "v.npy")
    assert volume.shape == (1,) * (5 - rank) + array.shape
    assert np.array_equal(volume.array.reshape(array.shape), array.astype(np.float32))
    assert not volume.spacing_known
    known = read_volume(tmp_path / "v.npy", spacing_mm=(1, 2, 3))
    assert (known.spacing_mm, known.spacing_known) == ((3, 2, 1), True)


def test_a_pickle_is_not_opened(tmp_path: Path):
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UnusableFile, match="cannot be decoded"):
        read_volume(tmp_path / "v.npy")


def test_other_arrays_are_unusable(tmp_path: Path):
    for array in (
        np.array(["a", "b"]),
        np.zeros(4),
        np.zeros((0, 3, 3)),
        np.zeros((2, 2), complex),
    ):
        np.save(tmp_path / "v.npy", array)
        with pytest.raises(UnusableFile, match="expected"):
            read_volume(tmp_path / "v.npy")
