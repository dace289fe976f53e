import numpy as np
import torch

from audit.copies.registration import align, partial_correlation
from audit.spatial import rigid_theta, warp

EXTENT = (30.0, 32.0, 34.0)


def blobs(n, seed=0):
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.standard_normal((n, 1, 6, 6, 6)).astype(np.float32))
    return torch.nn.functional.interpolate(
        coarse, size=(24, 24, 24), mode="trilinear", align_corners=False
    )


def moved(volumes, degrees, shift, flip):
    n = len(volumes)
    angles = torch.full((n, 3), np.radians(degrees))
    theta = rigid_theta(
        angles, torch.full((n, 3), shift), extent_mm=EXTENT, flip=torch.full((n,), flip)
    )
    return warp(volumes, theta)


def test_a_moved_mirrored_copy_is_aligned_and_a_stranger_is_not():
    source = blobs(4)
    copies = moved(source, 4.0, 0.03, True)
    shared = np.zeros((1, 1, 24, 24, 24), np.float32) + np.linspace(0, 1, 24, dtype=np.float32)
    found = align(copies.numpy(), source.numpy(), shared, EXTENT, device="cpu")
    assert found.flipped.all()
    assert found.partial.min() > 0.9
    strangers = align(blobs(4, 1).numpy(), source.numpy(), shared, EXTENT, device="cpu")
    assert strangers.partial.max() < 0.8
    assert found.ssim.min() > strangers.ssim.max()


def test_what_is_shared_by_all_is_no_similarity():
    rng = np.random.default_rng(2)
    common = torch.from_numpy(rng.standard_normal((1, 1, 8, 8, 8)).astype(np.float32))
    a, b = (
        common + 0.1 * torch.from_numpy(rng.standard_normal((1, 1, 8, 8, 8)).astype(np.float32))
        for _ in range(2)
    )
    assert abs(float(partial_correlation(a, b, common[None]))) < 0.15
    assert float(partial_correlation(a, a, common[None])) > 0.99


def test_no_move_is_no_change():
    volumes = blobs(2)
    zero = torch.zeros(2, 3)
    torch.testing.assert_close(warp(volumes, rigid_theta(zero, zero, extent_mm=EXTENT)), volumes)
