"""Structural similarity over several scales, of images of any rank and anisotropy.

The published scale count needs 160 voxels along every axis, more than a short-axis stack has. Here
an axis is halved only while it stays at least as long as the window, and the window shrinks to
the axis: a volume of 10 slices keeps its slices while x and y are halved. With axes long enough
it is the published measure.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable

WINDOW = 11
SIGMA = 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
K1, K2 = 0.01, 0.03
LEAST_SIZE = 4


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
    import torch

    x = torch.as_tensor(np.asarray(first, dtype=np.float64))[:, None]
    y = torch.as_tensor(np.asarray(second, dtype=np.float64))[:, None]
    if max(x.shape[2:], default=0) < LEAST_SIZE:
        raise NotComputable(
            f"images of shape {tuple(x.shape[2:])}", f"an axis of at least {LEAST_SIZE}"
        )
    if weights is None:
        cut = WEIGHTS[: scale_count(x.shape[2:], window=window)]
        weights = [w / sum(cut) for w in cut]
    score = torch.ones(len(x), dtype=torch.float64)
    for scale, weight in enumerate(weights):
        luminance, contrast = _ssim_terms(x, y, data_range, window)
        last = scale == len(weights) - 1
        term = (luminance * contrast if last else contrast).flatten(1).mean(1)
        score = score * term.clamp(min=0.0) ** weight
        if not last:
            x, y = _halve(x, window), _halve(y, window)
    return score.numpy()


def _ssim_terms(x, y, data_range: float, window: int):  # type: ignore[no-untyped-def]
    """Luminance and contrast-structure maps of pairs (b, 1, ...)."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_x, mean_y = _smooth(x, window), _smooth(y, window)
    variance_x = _smooth(x * x, window) - mean_x * mean_x
    variance_y = _smooth(y * y, window) - mean_y * mean_y
    covariance = _smooth(x * y, window) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    contrast = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return luminance, contrast


def _smooth(image, window: int):  # type: ignore[no-untyped-def]
    """Separable Gaussian, valid region only; an axis shorter than the window gets a shorter one."""
    import torch

    rank = image.ndim - 2
    convolve = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)
    for axis in range(rank):
        size = min(window, image.shape[2 + axis])
        place = torch.arange(size, dtype=image.dtype) - (size - 1) / 2
        kernel = torch.exp(-((place / SIGMA) ** 2) / 2)
        shape = [1, 1] + [size if a == axis else 1 for a in range(rank)]
        image = convolve[rank - 1](image, (kernel / kernel.sum()).reshape(shape))
    return image


def _halve(image, window: int):  # type: ignore[no-untyped-def]
    """Average neighbors along every axis that stays at least as long as the window."""
    import torch

    rank = image.ndim - 2
    pool = (
        torch.nn.functional.avg_pool1d,
        torch.nn.functional.avg_pool2d,
        torch.nn.functional.avg_pool3d,
    )[rank - 1]
    steps = [2 if size // 2 >= window else 1 for size in image.shape[2:]]
    return pool(image, kernel_size=steps, stride=steps)
