"""Structural similarity over several scales, of images of any rank and anisotropy.

The published scale count needs 160 voxels along every axis, more than a short-axis stack has. Here
an axis is halved only while it stays at least as long as the window, and the window shrinks to
the axis: a volume of 10 slices keeps its slices while x and y are halved. With axes long enough
it is the published measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable

if TYPE_CHECKING:
    import torch

WINDOW = 11
SIGMA = 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
K1, K2 = 0.01, 0.03
LEAST_SIZE = 4


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Images at one resolution with their local moments."""

    image: "torch.Tensor"
    mean: "torch.Tensor"
    variance: "torch.Tensor"

    def only(self, rows: slice) -> "Scale":
        """The same of some of the images."""
        return Scale(image=self.image[rows], mean=self.mean[rows], variance=self.variance[rows])


def scale_count(shape: Sequence[int], *, window: int = WINDOW) -> int:
    """Scales an image of this shape supports: the longest axis halved while the window fits."""
    longest, count = max(shape), 1
    while count < len(WEIGHTS) and longest // 2 >= window:
        longest, count = longest // 2, count + 1
    return count


def ms_ssim(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    data_range: float = 2.0,
    window: int = WINDOW,
    weights: Sequence[float] | None = None,
) -> npt.NDArray[np.float64]:
    """MS-SSIM of pairs of images (b, ...spatial) with 1 to 3 spatial axes.

    Negative contrast terms count as 0, as in the reference implementations.

    Args:
        first: One image of each pair.
        second: The other.
        data_range: Intensity range; 2 for [-1, 1]. Never taken from the pair.
        window: Side of the Gaussian window, at most the axis.
        weights: Of the scales, finest first; the published ones, cut to those that fit and
            scaled to sum 1, where not given.

    Returns:
        Similarity (b,), at most 1.

    Raises:
        NotComputable: Every axis is shorter than 4.

    References:
        Wang et al. 2003, doi 10.1109/ACSSC.2003.1292216.
    """
    shape = np.shape(first)[1:]
    chosen = _weights(shape, window) if weights is None else weights
    x, y = (_pyramid(images, len(chosen), window) for images in (first, second))
    return _score(x, y, chosen, data_range, window)


def pairwise_ms_ssim(
    images: npt.NDArray[np.floating], *, data_range: float = 2.0, window: int = WINDOW
) -> npt.NDArray[np.float64]:
    """Similarity (n, n) of all pairs of images (n, ...spatial); local moments are made once.

    Raises:
        NotComputable: Every axis is shorter than 4.
    """
    weights = _weights(images.shape[1:], window)
    pyramid = _pyramid(images, len(weights), window)
    similarity = np.eye(len(images))
    for i in range(len(images) - 1):
        one = [scale.only(slice(i, i + 1)) for scale in pyramid]
        rest = [scale.only(slice(i + 1, None)) for scale in pyramid]
        row = _score(one, rest, weights, data_range, window)
        similarity[i, i + 1 :] = similarity[i + 1 :, i] = row
    return similarity


def _weights(shape: Sequence[int], window: int) -> list[float]:
    """The published weights, cut to the scales that fit and scaled to sum 1."""
    if max(shape, default=0) < LEAST_SIZE:
        raise NotComputable(f"images of shape {tuple(shape)}", f"an axis of at least {LEAST_SIZE}")
    cut = WEIGHTS[: scale_count(shape, window=window)]
    return [w / sum(cut) for w in cut]


def _pyramid(images: npt.ArrayLike, scales: int, window: int) -> list[Scale]:
    import torch

    image = torch.as_tensor(np.ascontiguousarray(images))
    found = []
    for k in range(scales):
        mean = _smooth(image, window)
        variance = _smooth(image * image, window) - mean * mean
        found.append(Scale(image=image, mean=mean, variance=variance))
        if k < scales - 1:
            image = _halve(image, window)
    return found


def _score(
    first: Sequence[Scale],
    second: Sequence[Scale],
    weights: Sequence[float],
    data_range: float,
    window: int,
) -> npt.NDArray[np.float64]:
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    score: npt.NDArray[np.float64] = np.ones(1)
    for k, (x, y, weight) in enumerate(zip(first, second, weights, strict=True)):
        covariance = _smooth(x.image * y.image, window) - x.mean * y.mean
        term = (2 * covariance + c2) / (x.variance + y.variance + c2)
        if k == len(weights) - 1:
            term = term * (2 * x.mean * y.mean + c1) / (x.mean**2 + y.mean**2 + c1)
        mean = term.flatten(1).double().mean(1).clamp(min=0.0).numpy()
        score = score * mean**weight
    return score


def _smooth(image: "torch.Tensor", window: int) -> "torch.Tensor":
    """Separable Gaussian, valid region only; an axis shorter than the window gets a shorter one.

    Each axis is one product with a banded matrix, much faster than a thin 3D convolution.
    """
    import torch

    for axis in range(1, image.ndim):
        size = image.shape[axis]
        taps = min(window, size)
        place = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
        kernel = torch.exp(-((place / SIGMA) ** 2) / 2)
        band = torch.zeros(size - taps + 1, size, dtype=torch.float64)
        for row in range(len(band)):
            band[row, row : row + taps] = kernel / kernel.sum()
        image = (image.movedim(axis, -1) @ band.T.to(image.dtype)).movedim(-1, axis)
    return image


def _halve(image: "torch.Tensor", window: int) -> "torch.Tensor":
    """Average neighbors along every axis that stays at least as long as the window."""
    for axis in range(1, image.ndim):
        pairs = image.shape[axis] // 2
        if pairs < window:
            continue
        even = image.narrow(axis, 0, 2 * pairs).unflatten(axis, (pairs, 2))
        image = even.mean(dim=axis + 1)
    return image
