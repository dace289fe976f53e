"""A generator's autoencoder, on volumes as an audit holds them: its copies come through it.

Wherever it is known the copy search passes train and hold-out through it, as samples have come, and
it is one more disturbance of the copy encoder's training volumes.
"""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.extractor import Autoencode
from audit.preprocessing import Preprocessing
from audit.volume import Volume

KEPT_BYTES = 256 * 2**20  # in memory only: they are images of patients


def autoencoder_of(generator: Any, preprocessing: Preprocessing) -> tuple[Autoencode | None, str]:
    """How volumes look after a generator's autoencoder, and the hash of its weights.

    Args:
        generator: Anything with ``autoencode(volumes) -> volumes`` and ``autoencoder_identity()``,
            or else ``identity()``.
        preprocessing: Of the audit; says what -1 and 1 and a field of view mean.

    Returns:
        A function of batches (b, c, t, z, y, x) in [-1, 1], of any resolution over the audit's
        field of view, that passes a volume once and remembers it, and a key; (None, "") where the
        generator offers none.
    """
    through = getattr(generator, "autoencode", None)
    whole = getattr(generator, "identity", None)
    identity = getattr(generator, "autoencoder_identity", whole)
    if through is None or identity is None:
        return None, ""

    made: dict[bytes, npt.NDArray[np.float32]] = {}

    def once(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        name = hashlib.sha256(repr(volume.shape).encode() + volume.tobytes()).digest()
        back = made.get(name)
        if back is None:
            grid = _grid_of(volume, preprocessing)
            (shown,) = through([_volume(volume, grid)])
            back = grid(shown)
            if back.nbytes * (len(made) + 1) < KEPT_BYTES:
                made[name] = back
        return back

    def autoencode(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.stack([once(volume) for volume in batch])

    return autoencode, str(identity())


def _grid_of(volume: npt.NDArray[np.float32], preprocessing: Preprocessing) -> Preprocessing:
    """The audit's field of view at the resolution of a volume (c, t, z, y, x)."""
    t, z, y, x = volume.shape[1:]
    extent = [n * s for n, s in zip(preprocessing.shape[1:], preprocessing.spacing_mm, strict=True)]
    spacing = tuple(e / n for e, n in zip(extent, (z, y, x), strict=True))
    return replace(preprocessing, shape=(t, z, y, x), spacing_mm=spacing)


def _volume(array: npt.NDArray[np.float32], grid: Preprocessing) -> Volume:
    low, high = grid.window
    units = (array + 1) / 2 * (high - low) + low
    return Volume(array=units.astype(np.float32), spacing_mm=grid.spacing_mm)
