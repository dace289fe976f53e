"""Hand-made statistics of intensity, gradient, texture and layout: no weights, 2D to 4D.

Each volume gives about a hundred numbers: moments and quantiles of intensity, gradient strength
and co-occurrence texture along each axis, energy by scale, and a coarse 4 x 4 x 4 layout. Frames
are pooled by their mean. Numbers are z-scored by the training cohort, so that no unit dominates;
a column without spread in training keeps unit scale of its own range.
"""

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.extractors.standardized import standardized
from audit.preprocessing import Preprocessing

FloatArray = npt.NDArray[np.float64]
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
GRAY_LEVELS = 16
LAYOUT = 4
VERSION = 1


def intensity_features(volume: npt.NDArray[np.float32]) -> FloatArray:
    """Features (d,) of one volume (c, t, z, y, x) in [-1, 1]; frames pooled by their mean."""
    channels = [
        np.mean([_frame_features(frame) for frame in channel], axis=0) for channel in volume
    ]
    return np.concatenate(channels)


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:
    """Take mean and standard deviation of each number from the training cohort."""
    return standardized(
        intensity_features,
        train,
        preprocessing,
        workshop,
        key=key_of(extractor="intensity", version=VERSION),
    )


def _frame_features(frame: npt.NDArray[np.float32]) -> FloatArray:
    """All statistics of one frame (z, y, x)."""
    return np.concatenate(
        [_moments(frame), _gradients(frame), _cooccurrence(frame), _scales(frame), layout(frame)]
    )


def _moments(frame: npt.NDArray[np.float32]) -> FloatArray:
    values = frame.ravel().astype(np.float64)
    mean, sd = values.mean(), values.std()
    standard = (values - mean) / sd if sd > 1e-9 else np.zeros_like(values)
    cubes = standard * standard * standard
    return np.array(
        [
            mean,
            sd,
            cubes.mean(),
            np.sqrt((cubes * standard).mean()),
            *np.quantile(values, QUANTILES),
        ]
    )


def _gradients(frame: npt.NDArray[np.float32]) -> FloatArray:
    """Per axis: mean, standard deviation and 90 % quantile of absolute differences."""
    found = []
    for axis in range(3):
        steps = np.abs(np.diff(frame, axis=axis)).ravel()
        found += [steps.mean(), steps.std(), np.quantile(steps, 0.9)] if steps.size else [0.0] * 3
    return np.array(found, dtype=np.float64)


def _cooccurrence(frame: npt.NDArray[np.float32]) -> FloatArray:
    """Per axis, of neighbors' gray levels: contrast, homogeneity, energy, correlation, entropy.

    References:
        Haralick et al. 1973, doi 10.1109/TSMC.1973.4309314.
    """
    levels = np.clip(((frame + 1) * (GRAY_LEVELS / 2)).astype(np.int64), 0, GRAY_LEVELS - 1)
    i, j = np.mgrid[:GRAY_LEVELS, :GRAY_LEVELS]
    found: list[float] = []
    for axis in range(3):
        if frame.shape[axis] < 2:
            found += [0.0] * 5
            continue
        left, right = np.moveaxis(levels, axis, 0)[:-1], np.moveaxis(levels, axis, 0)[1:]
        counts = np.bincount((left * GRAY_LEVELS + right).ravel(), minlength=GRAY_LEVELS**2)
        p = counts.reshape(GRAY_LEVELS, GRAY_LEVELS) / counts.sum()
        p = (p + p.T) / 2
        mean = (i * p).sum()
        variance = ((i - mean) ** 2 * p).sum()
        covariance = ((i - mean) * (j - mean) * p).sum()
        found += [
            ((i - j) ** 2 * p).sum(),
            (p / (1 + (i - j) ** 2)).sum(),
            (p * p).sum(),
            covariance / variance if variance > 1e-12 else 1.0,
            -(p[p > 0] * np.log(p[p > 0])).sum(),
        ]
    return np.array(found, dtype=np.float64)


def _scales(frame: npt.NDArray[np.float32]) -> FloatArray:
    """Log spread of what each halving of resolution removes (a Laplacian pyramid's energies)."""
    found = []
    fine = frame.astype(np.float64)
    for _ in range(3):
        coarse = fine
        for axis in range(3):
            coarse = _halve(coarse, axis)
        back = coarse
        for axis in range(3):
            if back.shape[axis] != fine.shape[axis]:
                back = np.repeat(back, 2, axis=axis)
        cut = fine[tuple(slice(s) for s in back.shape)]
        found.append(np.log10((cut - back).std() + 1e-4))
        fine = coarse
    return np.array(found)


def _halve(array: FloatArray, axis: int) -> FloatArray:
    pairs = array.shape[axis] // 2
    if pairs == 0:
        return array
    moved = np.moveaxis(array, axis, 0)[: 2 * pairs]
    return np.moveaxis((moved[0::2] + moved[1::2]) / 2, 0, axis)


def layout(frame: npt.NDArray[np.float32], cells: int = LAYOUT) -> FloatArray:
    """Mean intensity in at most ``cells`` boxes per axis; cells³ numbers, zeros past the end."""
    grid = frame.astype(np.float64)
    for axis in range(3):
        edges = np.unique(np.linspace(0, grid.shape[axis], cells + 1).astype(int)[:-1])
        sums = np.add.reduceat(grid, edges, axis=axis)
        sizes = np.diff([*edges, grid.shape[axis]])
        grid = sums / sizes.reshape([-1 if a == axis else 1 for a in range(3)])
    padded = np.zeros((cells, cells, cells))
    padded[tuple(slice(s) for s in grid.shape)] = grid
    return padded.ravel()


EXTRACTOR = Extractor(
    fit=fit,
    dim=0,
    source="own first-order, gradient, Haralick (1973) and layout statistics; no weights",
    default=True,
)
