"""Adherence of one mask to another: known shifts, missing structures, pairs that cannot be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.cohort import Case, cohort_of
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.requested import measure_adherence, requested_pairs
from audit.masks.scores import score_structure
from audit.masks.surface import image_diagonal_mm
from audit.phantoms import thorax_cohort
from audit.preprocessing import fit_preprocessing
from audit.volume import LabelMap, Volume

SPACING = (5.0, 1.5, 0.5)


def cube(start=(6, 6, 6), size=8, shape=(24, 24, 24)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, a + size) for a in start)] = True
    return mask


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 6), st.sampled_from([0, 1, 2]))
def test_a_mask_shifted_by_k_voxels_scores_what_geometry_says(k, axis):
    moved = np.roll(cube(), k, axis=axis)
    scores = score_structure(cube(), moved, SPACING)
    assert scores is not None
    assert scores["dice"] == pytest.approx((8 - k) / 8)
    assert scores["iou"] == pytest.approx((8 - k) / (8 + k))
    assert scores["centroid_distance_mm"] == pytest.approx(k * SPACING[axis])
    assert scores["volume_error_percent"] == 0
    assert scores["hausdorff95_max_directed_mm"] <= k * SPACING[axis] + 1e-9


@pytest.mark.parametrize("k", [1, 2, 3])
def test_hd95_of_a_shifted_mask_is_the_shift(k):
    """A whole face, a fifth of the boundary, moves out by k voxels."""
    moved = np.roll(cube(), k, axis=2)
    scores = score_structure(cube(), moved, SPACING)
    assert scores is not None
    assert scores["hausdorff95_max_directed_mm"] == pytest.approx(k * SPACING[2])
    assert scores["hausdorff95_pooled_mm"] == pytest.approx(k * SPACING[2])


def test_an_equal_mask_scores_best():
    scores = score_structure(cube(), cube(), SPACING)
    assert scores is not None
    assert scores["dice"] == scores["iou"] == scores["surface_dice"] == 1
    assert all(scores[q] == 0 for q in scores if q.endswith(("_mm", "_percent", "_difference")))


def test_a_missing_structure_is_booked_with_the_diagonal():
    scores = score_structure(cube(), np.zeros_like(cube()), SPACING)
    diagonal = image_diagonal_mm((24, 24, 24), SPACING)
    assert scores is not None
    assert scores["dice"] == scores["surface_dice"] == 0
    assert scores["hausdorff95_pooled_mm"] == scores["centroid_distance_mm"] == diagonal
    assert scores["volume_error_percent"] == 100
    assert scores["components_difference"] == 1


def test_a_structure_that_neither_map_has_says_nothing():
    assert score_structure(np.zeros_like(cube()), np.zeros_like(cube()), SPACING) is None


def test_a_hole_and_a_crumb_are_seen_by_topology_alone():
    made = cube()
    made[9, 9, 9] = False
    made[20, 20, 20] = True
    scores = score_structure(cube(), made, SPACING)
    assert scores is not None
    assert scores["components_difference"] == 1
    assert scores["holes_difference"] == 1
    assert scores["dice"] > 0.99


def label_map(mask, name="organ", **kwargs):
    codes = mask[None].astype(np.int16)
    return LabelMap(array=codes, names={name: 1}, spacing_mm=SPACING, **kwargs)


def case(key, labels, **kwargs):
    image = Volume(
        array=np.zeros((1, *labels.array.shape), np.float32) if labels else IMAGE,
        spacing_mm=SPACING,
    )
    return Case(id=key, subject=key, image=image, labels=labels, **kwargs)


IMAGE = np.zeros((1, 1, 24, 24, 24), np.float32)


def comparison(requested, made, workshop, *, conditions=None):
    train = cohort_of("train", [case("t", label_map(cube()))])
    named = conditions or [f"m{i}" for i in range(len(made))]
    return Comparison(
        train=train,
        holdout=cohort_of("holdout", []),
        synthetic=cohort_of(
            "synthetic",
            [
                case(f"s{i}", m, condition=c)
                for i, (m, c) in enumerate(zip(made, named, strict=True))
            ],
        ),
        conditions=cohort_of("conditions", [case(f"m{i}", r) for i, r in enumerate(requested)]),
        preprocessing=fit_preprocessing(train),
        workshop=workshop,
    )


def test_pairs_follow_the_condition_and_not_the_order(workshop):
    masks = [label_map(cube(start=(4 + 2 * i, 6, 6))) for i in range(3)]
    swapped = comparison(masks, masks[::-1], workshop, conditions=["m2", "m1", "m0"])
    assert measure_adherence(swapped).scores["dice"].min() == 1


@pytest.mark.parametrize(
    ("requested", "made", "conditions", "why"),
    [
        ([label_map(cube())], [label_map(cube())], [None], r"no synthetic case names the mask"),
        (
            [label_map(cube())],
            [label_map(cube())],
            ["m9"],
            r"1 synthetic cases name a condition that is not there",
        ),
        (
            [replace(label_map(cube()), names={})],
            [label_map(cube())],
            ["m0"],
            r"a requested mask has no named labels",
        ),
        (
            [label_map(cube())],
            [label_map(cube(shape=(24, 24, 30)))],
            ["m0"],
            r"1 of 1 synthetic cases lie on another grid than their mask",
        ),
        (
            [label_map(cube())],
            [label_map(cube(), name="liver")],
            ["m0"],
            r"share no structure; expected common names",
        ),
    ],
)
def test_pairs_that_cannot_be_compared_say_why(requested, made, conditions, why, workshop):
    with pytest.raises(NotComputable, match=why):
        requested_pairs(comparison(requested, made, workshop, conditions=conditions))


def test_a_frame_without_labels_is_not_compared(workshop):
    both = np.stack([cube(), cube()]).astype(np.int16)
    empty_later = np.stack([cube(), np.zeros_like(cube())]).astype(np.int16)
    names = {"organ": 1}
    requested = LabelMap(array=both, names=names, spacing_mm=SPACING)
    silent = LabelMap(array=empty_later, names=names, spacing_mm=SPACING, frames=(0,))
    missing = replace(silent, frames=None)
    for made, dice in ((silent, 1.0), (missing, 0.5)):
        found = measure_adherence(comparison([requested], [made], workshop))
        assert found.scores["dice"][0, 0] == dice
        assert found.missing[0, 0] == (dice < 1)


def test_a_thorax_case_scores_in_well_under_a_second(workshop):
    """Seven structures with all scores; distances run on cropped boxes."""
    labels = thorax_cohort(1, size=64)[0].labels
    found = measure_adherence(comparison([labels], [labels], workshop))
    assert {"lung_left", "heart", "spine"} <= set(found.structures)
    assert np.nanmin(found.scores["dice"]) == 1
