"""MS-SSIM: MONAI's numbers where MONAI computes it, and sense where it raises."""

import numpy as np
import pytest
import torch
from monai.metrics import MultiScaleSSIMMetric

from audit.errors import NotComputable
from audit.statistics.ssim import ms_ssim, scale_count


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = np.cumsum(rng.normal(size=(2, *shape)), axis=1)
    first /= np.abs(first).max()
    return first, np.clip(first + 0.1 * rng.normal(size=first.shape), -1, 1)


@pytest.mark.parametrize("shape", [(96, 96), (48, 48, 48)])
def test_agrees_with_monai_where_the_axes_suffice(shape: tuple[int, ...]) -> None:
    first, second = pair(shape)
    weights = (0.3, 0.4, 0.3)
    peer = MultiScaleSSIMMetric(
        spatial_dims=len(shape), data_range=2.0, kernel_size=11, kernel_sigma=1.5, weights=weights
    )
    expected = peer(torch.tensor(first)[:, None], torch.tensor(second)[:, None]).numpy().ravel()
    assert np.allclose(ms_ssim(first, second, weights=weights), expected, atol=1e-6)


def test_a_stack_of_ten_slices_has_a_value_where_monai_raises() -> None:
    first, second = pair((10, 64, 64))
    peer = MultiScaleSSIMMetric(spatial_dims=3, data_range=2.0)
    with pytest.raises(ValueError, match="must be larger than 160"):
        peer(torch.tensor(first)[:, None], torch.tensor(second)[:, None])
    assert 0 < ms_ssim(first, second).min() < 1


def test_identical_is_one_and_more_noise_is_less() -> None:
    first, _ = pair((32, 32, 32))
    noise = np.random.default_rng(1).normal(size=first.shape)
    values = [ms_ssim(first, first + strength * noise).mean() for strength in (0.0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1.0)
    assert values[0] > values[1] > values[2]


def test_scales_follow_the_longest_axis() -> None:
    assert scale_count((176, 176)) == 5
    assert scale_count((10, 64, 64)) == 3
    assert scale_count((8, 8)) == 1


def test_a_tiny_image_has_a_reason() -> None:
    with pytest.raises(NotComputable, match="an axis of at least 4"):
        ms_ssim(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)))
