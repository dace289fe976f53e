"""What is measured on each volume itself: spectra, adjacent slices and frames, motion."""

from dataclasses import replace

import numpy as np
import pytest

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.features.descriptors import SIZES, describe, describe_volume, power_spectrum
from audit.features.motion import cycle_closure, motion_roughness


def part(row: np.ndarray, name: str) -> np.ndarray:
    start = sum(
        size for key, size in SIZES.items() if list(SIZES).index(key) < list(SIZES).index(name)
    )
    return row[start : start + SIZES[name]]


def wave(axis: int, cycles: int, shape: tuple[int, ...] = (1, 32, 32, 32)) -> np.ndarray:
    place = np.arange(shape[axis]) / shape[axis]
    line = np.sin(2 * np.pi * cycles * place).reshape([-1 if a == axis else 1 for a in range(4)])
    return np.broadcast_to(line, shape).astype(np.float32)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_spectrum_peaks_at_the_wave_and_only_along_its_axis(axis: int) -> None:
    image = wave(axis, 8)
    assert np.argmax(power_spectrum(image, axis)) == 7
    other = 1 + axis % 3
    assert power_spectrum(image, other).max() == pytest.approx(-8, abs=1e-3)


def test_white_noise_has_a_flat_spectrum_and_blur_lowers_its_end() -> None:
    from scipy.ndimage import gaussian_filter1d

    noise = np.random.default_rng(0).normal(size=(1, 64, 32, 32)).astype(np.float32)
    flat = power_spectrum(noise, 1)
    assert np.ptp(flat[1:]) < 0.15
    blurred = power_spectrum(gaussian_filter1d(noise, 1.0, axis=1), 1)
    assert blurred[-1] < flat[-1] - 2
    assert blurred[0] == pytest.approx(flat[0], abs=0.2)


def test_adjacent_slices_of_a_constant_stack_are_equal_and_of_noise_unrelated() -> None:
    rng = np.random.default_rng(1)
    slice_ = rng.uniform(-1, 1, size=(1, 1, 1, 24, 24))
    same = describe_volume(np.repeat(slice_, 10, axis=2).astype(np.float32))
    assert part(same, "adjacent_z") == pytest.approx([1, 0, 1], abs=1e-5)
    noise = describe_volume(rng.uniform(-1, 1, size=(1, 1, 10, 24, 24)).astype(np.float32))
    pearson, mad, similarity = part(noise, "adjacent_z")
    assert abs(pearson) < 0.05
    assert mad == pytest.approx(2 / 3, abs=0.03)
    assert similarity < 0.2


def test_empty_slices_have_no_correlation_but_a_number() -> None:
    volume = np.full((1, 1, 6, 16, 16), -1, dtype=np.float32)
    assert part(describe_volume(volume), "adjacent_z")[:2] == pytest.approx([1, 0])
    volume[0, 0, 3, 4:8, 4:8] = 1
    assert np.isfinite(describe_volume(volume)).all()
    assert part(describe_volume(volume), "adjacent_z")[0] < 1


def test_roughness_of_noise_flicker_and_a_slow_wave() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(20, 8, 8, 8)).astype(np.float32)
    assert motion_roughness(noise) == pytest.approx(np.sqrt(3), rel=0.02)
    flicker = np.stack([np.full((4, 4, 4), float(k % 2)) for k in range(12)]).astype(np.float32)
    assert motion_roughness(flicker) == pytest.approx(2)
    slow = wave(0, 1, (24, 4, 4, 4))
    assert motion_roughness(slow) == pytest.approx(2 * np.sin(np.pi / 24), rel=1e-3)
    assert motion_roughness(np.ones((6, 4, 4, 4), dtype=np.float32)) == 0


def test_closure_of_a_cycle_and_of_half_a_cycle() -> None:
    whole = wave(0, 1, (20, 4, 4, 4))
    assert cycle_closure(whole) == pytest.approx(1, abs=0.5)
    ramp = np.linspace(0, 1, 10)[:, None, None, None] * np.ones((10, 4, 4, 4))
    assert cycle_closure(ramp.astype(np.float32)) == pytest.approx(9, rel=1e-3)
    assert cycle_closure(np.ones((6, 4, 4, 4), dtype=np.float32)) == 1


def test_distribution_is_a_cumulative_share() -> None:
    volume = np.linspace(-1, 1, 4096, dtype=np.float32).reshape(1, 1, 16, 16, 16)
    shares = part(describe_volume(volume), "intensity")
    assert shares[-1] == 1
    assert shares[127] == pytest.approx(0.5, abs=0.01)
    assert (np.diff(shares) >= 0).all()


def test_axes_that_are_missing_have_a_reason(thorax_comparison: Comparison) -> None:
    with pytest.raises(NotComputable, match=r"1 voxels along t.*at least 4"):
        describe(thorax_comparison, "adjacent_t")
    flat = replace(
        thorax_comparison,
        preprocessing=replace(thorax_comparison.preprocessing, shape=(1, 1, 32, 32)),
    )
    with pytest.raises(NotComputable, match=r"1 voxels along z.*at least 2"):
        describe(flat, "adjacent_z")
