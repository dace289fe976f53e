import numpy as np
import pytest
import torch

from audit.copies.likeness import partial_correlation
from audit.copies.registration import align
from audit.networks.ssl_training import blur
from audit.spatial import rigid_theta, warp

EXTENT = (30.0, 32.0, 34.0)
PLAIN = np.zeros((1, 1, 24, 24, 24), np.float32) + np.linspace(0, 1, 24, dtype=np.float32)


def blobs(n, seed=0):
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.standard_normal((n, 1, 6, 6, 6)).astype(np.float32))
    return torch.nn.functional.interpolate(
        coarse, size=(24, 24, 24), mode="trilinear", align_corners=False
    )


def moved(volumes, degrees, shift, flip, scale=1.0):
    n = len(volumes)
    angles = torch.full((n, 3), np.radians(degrees))
    theta = rigid_theta(
        angles,
        torch.full((n, 3), shift),
        extent_mm=EXTENT,
        flip=torch.full((n,), flip),
        scale=torch.full((n,), scale),
    )
    return warp(volumes, theta)


def test_a_moved_mirrored_copy_is_aligned_and_a_stranger_is_not():
    source = blobs(4)
    copies = moved(source, 4.0, 0.03, True)
    found = align(copies.numpy(), source.numpy(), PLAIN, EXTENT, device="cpu")
    assert found.flipped.all()
    assert found.partial.min() > 0.95
    strangers = align(blobs(4, 1).numpy(), source.numpy(), PLAIN, EXTENT, device="cpu")
    assert strangers.partial.max() < 0.8
    assert found.ssim.min() > strangers.ssim.max()


@pytest.mark.parametrize(
    ("degrees", "shift", "scale"), [(0, 0.05, 1.0), (6, 0.0, 1.0), (0, 0.0, 1.25), (5, -0.04, 0.9)]
)
def test_the_move_is_found_to_a_hundredth_of_the_field_of_view(degrees, shift, scale):
    source = blobs(3, 7)
    copies = moved(source, degrees, shift, False, scale)
    found = align(copies.numpy(), source.numpy(), PLAIN, EXTENT, device="cpu")
    np.testing.assert_allclose(found.angles_deg, degrees, atol=0.5)
    np.testing.assert_allclose(found.shifts, shift, atol=0.005)
    np.testing.assert_allclose(found.scale, scale, atol=0.01)


def test_neither_threads_nor_the_company_of_other_pairs_change_a_pair():
    source = blobs(19).numpy()
    copies = moved(blobs(19), 4.0, 0.03, False).numpy()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(align(copies, source, PLAIN, EXTENT, device="cpu"))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    found.append(align(copies[-1:], source[-1:], PLAIN, EXTENT, device="cpu"))
    for column in ("ncc", "partial", "ssim", "shifts"):
        one, three, alone = (getattr(f, column) for f in found)
        assert np.array_equal(one, three)
        assert np.array_equal(one[-1:], alone)


def test_a_thin_stack_moves_only_in_its_plane():
    source = blobs(2)[:, :, :5]
    found = align(source.numpy(), source.roll(1, 4).numpy(), PLAIN[:, :, :5], EXTENT, device="cpu")
    assert np.abs(found.angles_deg[:, :2]).max() == np.abs(found.shifts[:, 2]).max() == 0


def test_an_empty_volume_stays_where_it_is():
    empty = np.zeros((1, 1, 24, 24, 24), np.float32)
    found = align(empty, blobs(1).numpy(), PLAIN, EXTENT, device="cpu")
    assert found.partial == pytest.approx(0, abs=0.05)
    assert np.isfinite(found.ncc).all()


def test_what_is_shared_by_all_is_no_similarity():
    rng = np.random.default_rng(2)
    common = torch.from_numpy(rng.standard_normal((1, 1, 12, 12, 12)).astype(np.float32))
    a, b = (
        common + 0.1 * torch.nn.functional.interpolate(blobs(1, seed), size=(12, 12, 12))
        for seed in (3, 4)
    )
    assert abs(float(partial_correlation(a, b, common[None]))) < 0.3
    assert float(partial_correlation(a, a, common[None])) > 0.99


def test_another_intensity_curve_and_noise_hide_no_copy_and_make_no_stranger_one():
    mean, own, other = (torch.nn.functional.avg_pool3d(blobs(1, s), 1) for s in (5, 6, 7))
    source, stranger = mean + 0.15 * own, mean + 0.15 * other
    rng = torch.Generator().manual_seed(0)
    curved = (source - source.min()) ** 1.2
    noisy = source + 0.15 * torch.randn(source.shape, generator=rng)
    for copy in (curved, noisy):
        assert float(partial_correlation(copy, source, mean[None])) > 0.9
    plain = float(partial_correlation(stranger, source, mean[None]))
    noise = 0.15 * torch.randn(source.shape, generator=rng)
    assert float(partial_correlation(stranger + noise, source, mean[None])) < plain + 0.15


def test_noise_in_a_slice_makes_no_stranger_alike():
    rng, n = torch.Generator().manual_seed(3), 400
    common, own, other = (blobs(k, seed)[:, :, :1] for k, seed in ((1, 8), (n, 20), (n, 21)))
    stranger = common + 0.02 * other + 0.03 * torch.randn(own.shape, generator=rng)
    basis = common[None].expand(n, -1, -1, -1, -1, -1)
    assert float(partial_correlation(stranger, common + 0.1 * own, basis).max()) < 0.7


def test_half_the_resolution_hides_no_copy_of_a_body_with_edges():
    common = (blobs(1, 10) > 0).float()
    source = common + 0.1 * blobs(8, 11)
    source = source + 0.03 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    basis = common[None].expand(8, -1, -1, -1, -1, -1)
    assert float(partial_correlation(blur(source), source, basis).min()) > 0.95
    strangers = partial_correlation(blur(source), source.roll(1, 0), basis)
    assert float(strangers.max()) < 0.8


def test_no_move_is_no_change():
    volumes = blobs(2)
    zero = torch.zeros(2, 3)
    torch.testing.assert_close(warp(volumes, rigid_theta(zero, zero, extent_mm=EXTENT)), volumes)
