"""What patients of one cohort share: the part of a likeness that says nothing of copying."""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison

MODES = 4
LOOK_AT = 64


def shared_anatomy(comparison: Comparison) -> npt.NDArray[np.float32]:
    """What training patients share (p, c', z, y, x): the mean of ``still`` and its leading modes.

    Two strangers of one build correlate highly after the mean alone; a copy still does after these.
    """
    return comparison.once("memorization:shared", lambda: _shared(comparison))


def modes_of(volumes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean and leading modes (p, c, z, y, x) of volumes (n, c, z, y, x)."""
    mean = volumes.mean(axis=0)
    flat = (volumes - mean).reshape(len(volumes), -1)
    _, _, modes = np.linalg.svd(flat, full_matrices=False)
    kept = modes[: min(MODES, len(volumes) // 6)].reshape(-1, *mean.shape)
    return np.concatenate([mean[None], kept]).astype(np.float32)


def still(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One 3D image (c', z, y, x) of a volume (c, t, z, y, x): a cine gives its mean and spread.

    Neither changes when the cine is shifted in time or reversed.
    """
    if volume.shape[1] == 1:
        return volume[:, 0]
    return np.concatenate([volume.mean(axis=1), volume.std(axis=1)])


def _shared(comparison: Comparison) -> npt.NDArray[np.float32]:
    train = comparison.train
    picks = np.unique(np.linspace(0, len(train) - 1, min(LOOK_AT, len(train))).astype(int))
    return modes_of(np.stack([still(comparison.preprocessing(train[int(i)].image)) for i in picks]))
