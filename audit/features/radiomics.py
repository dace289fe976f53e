"""Own radiomic features of whole volumes by IBSI definitions.

Each volume is seen 13 ways: as it is, through a Laplacian of Gaussian at 2, 3, 4 and 5 mm, and as
the eight bands of one undecimated coif1 wavelet step. Each gives IBSI intensity statistics, an
entropy, co-occurrence and run-length features; the volume as it is also zone-size, gray-tone-
difference and dependence features (``audit.statistics.radiomics``, ``audit.features.zones``). The
whole grid is the region: there is no mask, and no shape feature. Of a cine, four frames evenly
spread are averaged: texture hardly changes over the beat.

These are own features, which need no package; MIRP 2.7 equals them feature by feature
(tests/test_radiomics.py, where it is installed). A value is not comparable with ``frd-score``'s:
``audit.features.pyradiomics`` is.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.comparison import Comparison
from audit.extractor import Encoder
from audit.features.by_role import rows_by_role
from audit.features.zones import neighborhood_features, zone_features
from audit.statistics.radiomics import (
    cooccurrence_features,
    cooccurrence_matrix,
    histogram_features,
    intensity_statistics,
    run_length_features,
    run_length_matrix,
)
from audit.volume import Spacing

FloatArray = npt.NDArray[np.float64]
VERSION = 3
GRAY_LEVELS = 32
MOST_FRAMES = 4
LOG_SIGMAS_MM = (2.0, 3.0, 4.0, 5.0)
# Daubechies 1992, Ten Lectures on Wavelets, table 8.1: coiflet of order 1.
COIF1 = (
    -0.01565572813546454, -0.0727326195128539, 0.38486484686420286,
    0.8525720202122554, 0.3378976624578092, -0.0727326195128539,
)  # fmt: skip


def radiomic_rows(comparison: Comparison) -> dict[str, npt.NDArray[np.float32]]:
    """Features (n, d) of all volumes by role, in their own units; cached by content."""
    spacing_mm = comparison.preprocessing.spacing_mm
    encoder = Encoder(
        embed=lambda batch: np.stack(
            [radiomic_features(v, spacing_mm=spacing_mm) for v in batch]
        ).astype(np.float32),
        key=key_of(radiomics=VERSION, levels=GRAY_LEVELS, sigmas_mm=LOG_SIGMAS_MM),
        batch_size=1,
    )
    return comparison.once("radiomics", lambda: rows_by_role(comparison, "radiomics", encoder))


def radiomic_features(volume: npt.NDArray[np.float32], *, spacing_mm: Spacing) -> FloatArray:
    """Features (d,) of one volume (c, t, z, y, x) in [-1, 1]; means over at most four frames."""
    return mean_over_frames(volume, lambda frame: _frame_features(frame, spacing_mm))


def mean_over_frames(
    volume: npt.NDArray[np.float32],
    features_of: Callable[[npt.NDArray[np.float32]], FloatArray],
) -> FloatArray:
    """Mean features of at most four frames evenly spread, channel after channel."""
    taken = min(MOST_FRAMES, volume.shape[1])
    frames = np.arange(taken) * volume.shape[1] // taken
    return np.concatenate(
        [np.mean([features_of(channel[t]) for t in frames], axis=0) for channel in volume]
    )


def gray_levels(image: FloatArray, low: float, high: float) -> npt.NDArray[np.int64]:
    """Equal bins from ``low`` to ``high``, numbered from 1; one bin where there is no range."""
    if high - low < 1e-9:
        return np.ones(image.shape, dtype=np.int64)
    bins = np.floor((image - low) * (GRAY_LEVELS / (high - low))).astype(np.int64)
    return np.clip(bins, 0, GRAY_LEVELS - 1) + 1


def wavelet_bands(image: FloatArray) -> Iterator[FloatArray]:
    """The eight bands (z, y, x) of one undecimated coif1 step, LLL first and HHH last."""
    from scipy.ndimage import correlate1d

    low = np.array(COIF1) / np.sqrt(2)
    high = low[::-1] * np.array([1, -1, 1, -1, 1, -1])
    for filters in itertools.product((low, high), repeat=3):
        band = image
        for axis, taps in enumerate(filters):
            band = correlate1d(band, taps, axis=axis, mode="wrap")
        yield band


def _frame_features(frame: npt.NDArray[np.float32], spacing_mm: Spacing) -> FloatArray:
    from scipy.ndimage import gaussian_laplace

    image = frame.astype(np.float64)
    whole = gray_levels(image, -1.0, 1.0)
    zones = zone_features(whole) | neighborhood_features(whole)
    rows = [_image_features(image, whole), np.array(list(zones.values()))]
    filtered = [
        gaussian_laplace(image, [sigma / s for s in spacing_mm], mode="nearest")
        for sigma in LOG_SIGMAS_MM
    ]
    for other in itertools.chain(filtered, wavelet_bands(image)):
        # A filter's response has no unit, so its bins span its own range (IBSI 2).
        levels = gray_levels(other, float(other.min()), float(other.max()))
        rows.append(_image_features(other, levels))
    return np.concatenate(rows)


def _image_features(image: FloatArray, levels: npt.NDArray[np.int64]) -> FloatArray:
    found = (
        intensity_statistics(image)
        | histogram_features(levels)
        | cooccurrence_features(cooccurrence_matrix(levels, GRAY_LEVELS))
        | run_length_features(run_length_matrix(levels, GRAY_LEVELS), levels.size)
    )
    return np.array(list(found.values()))
