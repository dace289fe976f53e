"""Surface distances: closed forms on boxes and spheres, and the values of MONAI."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from audit.errors import NotComputable
from audit.masks.surface import (
    average_symmetric_surface_distance,
    betti_numbers,
    bounding_box,
    hausdorff95_max_directed,
    hausdorff95_pooled,
    image_diagonal_mm,
    surface_dice,
    surface_distances,
)


def box(shape=(20, 24, 28), start=(4, 5, 6), size=(8, 8, 8)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return mask


def ball(radius, shape=(40, 40, 40)):
    grid = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    return (grid**2).sum(axis=0) <= radius**2


def brute_force(first, second, spacing):
    """Distance transforms of the whole grid: slow and obvious."""
    edges = [m & ~ndimage.binary_erosion(m) for m in (first, second)]
    to = [ndimage.distance_transform_edt(~e, sampling=spacing) for e in edges]
    return to[1][edges[0]], to[0][edges[1]]


def test_equal_masks_are_at_distance_zero():
    forward, backward = surface_distances(box(), box(), (8.0, 1.3, 1.3))
    assert forward.max() == backward.max() == 0
    assert surface_dice(forward, backward, 0.0) == 1


@pytest.mark.parametrize(("axis", "spacing"), [(0, 2.0), (1, 1.5), (2, 0.7)])
def test_a_flat_face_moved_by_k_voxels_lies_k_voxels_away(axis, spacing):
    spacings = [2.0, 1.5, 0.7]
    first, second = (np.zeros((24, 24, 24), bool) for _ in range(2))
    index = [slice(None)] * 3
    for mask, end in ((first, 10), (second, 13)):
        index[axis] = slice(0, end)
        mask[tuple(index)] = True
    forward, backward = surface_distances(first, second, spacings)
    assert forward.max() == backward.max() == pytest.approx(3 * spacing)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(1.0, 1.0, 1.0), (10.0, 1.3672, 1.3672)]))
def test_distances_equal_those_of_full_distance_transforms(seed, spacing):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(2, 9, 14, 15)), (0, 1, 1, 1))
    first, second = noise > noise.std()
    for mine, slow in zip(
        surface_distances(first, second, spacing),
        brute_force(first, second, spacing),
        strict=True,
    ):
        np.testing.assert_allclose(mine, slow, rtol=1e-12)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.4, 1.1, 0.9), (12.0, 0.5, 2.0)])
def test_masks_far_apart_or_partly_so_have_exact_distances(spacing):
    """Beyond the reach of the ring search, and with points on both sides of it."""
    first = box((16, 60, 60), (1, 2, 2), (3, 6, 6))
    tailed = first.copy()
    tailed[2, 4, 8:50] = True
    for second in (box((16, 60, 60), (12, 50, 50), (2, 4, 5)), tailed):
        for mine, slow in zip(
            surface_distances(first, second, spacing),
            brute_force(first, second, spacing),
            strict=True,
        ):
            np.testing.assert_allclose(mine, slow, rtol=1e-12)


# MONAI passes itself an argument it has deprecated.
@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
def test_both_published_definitions_of_hd95_equal_monai():
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
    from monai.metrics import compute_surface_dice as monai_surface_dice

    spacing = (2.5, 1.0, 0.8)
    first, second = ball(9), np.roll(ball(12), (2, 1, 0), axis=(0, 1, 2))
    tensors = [
        torch.from_numpy(np.stack([~m, m])[None].astype(np.float32)) for m in (first, second)
    ]
    forward, backward = surface_distances(first, second, spacing)
    monai = compute_hausdorff_distance(*tensors, percentile=95, spacing=spacing)
    assert hausdorff95_max_directed(forward, backward) == pytest.approx(float(monai), rel=1e-6)
    monai = compute_average_surface_distance(*tensors, symmetric=True, spacing=spacing)
    assert average_symmetric_surface_distance(forward, backward) == pytest.approx(float(monai))
    monai = monai_surface_dice(*tensors, [2.0], spacing=spacing)
    assert surface_dice(forward, backward, 2.0) == pytest.approx(float(monai))
    slow = np.percentile(np.concatenate(brute_force(first, second, spacing)), 95)  # medpy's
    assert hausdorff95_pooled(forward, backward) == pytest.approx(slow)


def test_the_two_definitions_differ_on_a_cube_with_a_spike():
    cube = box((30, 30, 40), (5, 5, 5), (10, 10, 10))
    spiked = cube.copy()
    spiked[8:10, 8:10, 15:25] = True
    distances = surface_distances(cube, spiked, (1, 1, 1))
    assert hausdorff95_max_directed(*distances) > 3 > hausdorff95_pooled(*distances)


def test_concentric_balls_are_their_radii_apart_within_a_voxel():
    distances = surface_distances(ball(12), ball(15), (1.0, 1.0, 1.0))
    assert average_symmetric_surface_distance(*distances) == pytest.approx(3, abs=0.5)


def test_an_empty_mask_has_no_surface():
    with pytest.raises(NotComputable, match=r"a mask is empty; expected two masks"):
        surface_distances(box(), np.zeros((20, 24, 28), bool), (1, 1, 1))


def test_another_grid_is_refused():
    with pytest.raises(NotComputable, match=r"shapes \(20, 24, 28\) and \(20, 24, 29\)"):
        surface_distances(box(), box((20, 24, 29)), (1, 1, 1))


def test_a_single_slice_is_measured_in_its_plane():
    first = box((1, 24, 28), (0, 5, 6), (1, 8, 8))
    second = box((1, 24, 28), (0, 5, 8), (1, 8, 8))
    forward, _ = surface_distances(first, second, (10.0, 1.0, 1.0))
    assert len(forward) == 28  # the rim of an 8 × 8 square, not its 64 pixels
    assert forward.max() == 2


def test_the_box_of_a_mask_is_tight():
    assert bounding_box(box()) == (slice(4, 12), slice(5, 13), slice(6, 14))
    assert bounding_box(np.zeros((3, 3, 3), bool)) is None


def test_the_diagonal_counts_whole_voxels():
    assert image_diagonal_mm((3, 4, 12), (1, 1, 1)) == pytest.approx(13)


def test_betti_numbers_of_known_shapes():
    solid = box()
    two = solid | box(start=(14, 15, 16), size=(3, 3, 3))
    hollow = solid.copy()
    hollow[7, 8, 9] = False
    ring = solid.copy()
    ring[:, 8:10, 9:11] = False
    corner = np.zeros((5, 5, 5), bool)
    corner[1, 1, 1] = corner[2, 2, 2] = True
    assert betti_numbers(np.zeros((3, 3, 3), bool)) == (0, 0, 0)
    assert betti_numbers(solid) == (1, 0, 0)
    assert betti_numbers(two) == (2, 0, 0)
    assert betti_numbers(hollow) == (1, 0, 1)
    assert betti_numbers(ring) == (1, 1, 0)
    assert betti_numbers(corner) == (1, 0, 0)
