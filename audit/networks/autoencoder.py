"""A generator's autoencoder, on volumes as an audit holds them: its copies come through it.

Wherever it is known the copy search passes the hold-out and the sources of suspected copies through
it, and it is one more disturbance of the copy encoder's training volumes.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.extractor import Autoencode
from audit.preprocessing import Preprocessing
from audit.volume import Volume


def autoencoder_of(generator: Any, preprocessing: Preprocessing) -> tuple[Autoencode | None, str]:
    """How volumes look after a generator's autoencoder, and the hash of its weights.

    Args:
        generator: Anything with ``autoencode(volumes) -> volumes`` and ``autoencoder_identity()``,
            or else ``identity()``.
        preprocessing: Of the audit; says what -1 and 1 and a field of view mean.

    Returns:
        A function of batches (b, c, t, z, y, x) in [-1, 1], of any resolution over the audit's
        field of view, and a key; (None, "") where the generator offers none.
    """
    through = getattr(generator, "autoencode", None)
    whole = getattr(generator, "identity", None)
    identity = getattr(generator, "autoencoder_identity", whole)
    if through is None or identity is None:
        return None, ""

    def autoencode(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        grid = _grid_of(batch, preprocessing)
        volumes = [_volume(array, grid) for array in batch]
        return np.stack([grid(volume) for volume in through(volumes)])

    return autoencode, str(identity())


def _grid_of(batch: npt.NDArray[np.float32], preprocessing: Preprocessing) -> Preprocessing:
    """The audit's field of view at the resolution of a batch."""
    t, z, y, x = batch.shape[2:]
    extent = [n * s for n, s in zip(preprocessing.shape[1:], preprocessing.spacing_mm, strict=True)]
    spacing = tuple(e / n for e, n in zip(extent, (z, y, x), strict=True))
    return replace(preprocessing, shape=(t, z, y, x), spacing_mm=spacing)


def _volume(array: npt.NDArray[np.float32], grid: Preprocessing) -> Volume:
    low, high = grid.window
    units = (array + 1) / 2 * (high - low) + low
    return Volume(array=units.astype(np.float32), spacing_mm=grid.spacing_mm)
