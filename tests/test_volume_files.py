"""Volumes survive reading and writing; every stored orientation of one image reads the same."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import BadInput, UnusableFile
from audit.volume import LabelMap, Volume, read_volume, write_label_map, write_volume

SIZES = st.integers(1, 6)
STEPS = st.floats(0.125, 20, width=32)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), SIZES, SIZES, SIZES),
    spacing=st.tuples(STEPS, STEPS, STEPS),
    frame_ms=st.one_of(st.none(), st.floats(1, 2000, width=32)),
    known=st.booleans(),
    ending=st.sampled_from([".nii", ".nii.gz"]),
    whole=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_volume_survives_writing_and_reading(
    tmp_path_factory, shape, spacing, frame_ms, known, ending, whole, seed
):
    values = np.random.default_rng(seed).normal(0, 500, shape)
    array = (values.round() if whole else values).astype(np.float32)
    array.flat[0] += np.float32(3000)
    if array.size == 1:
        return
    before = Volume(array=array, spacing_mm=spacing, spacing_known=known, frame_ms=frame_ms)
    file = tmp_path_factory.mktemp("v") / f"v{ending}"
    write_volume(before, file)
    after = read_volume(file)
    assert np.array_equal(after.array, array)
    assert after.spacing_known is known
    assert after.spacing_mm == pytest.approx(spacing if known else (1, 1, 1), rel=1e-5)
    assert after.frame_ms == (pytest.approx(frame_ms) if frame_ms and shape[1] > 1 else None)


def test_every_stored_orientation_of_one_image_reads_the_same(tmp_path: Path):
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)  # x y z
    affine = np.diag([1.5, 2.0, 2.5, 1.0])
    affine[:3, 3] = [-10, 20, 30]
    expected = values.transpose(2, 1, 0)[None, None]
    for order in permutations(range(3)):
        for flips in product((1, -1), repeat=3):
            turn = np.eye(4)
            turn[:3, :3] = np.eye(3)[:, order] * flips
            for axis, flip in zip(order, flips, strict=True):
                turn[axis, 3] = values.shape[axis] - 1 if flip < 0 else 0
            stored = values.transpose(order)[tuple(slice(None, None, f) for f in flips)]
            image = nib.Nifti1Image(np.ascontiguousarray(stored), affine @ turn)
            nib.save(image, tmp_path / "v.nii")
            volume = read_volume(tmp_path / "v.nii")
            assert np.array_equal(volume.array, expected)
            assert volume.affine == pytest.approx(affine)
            assert volume.spacing_mm == (2.5, 2.0, 1.5)


def _short_axis(tilt_degrees: float, *, permuted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Affine of a heart's stack, and an index permutation of its x and y."""
    normal = np.array([0.67, -0.67, 0.32]) / np.linalg.norm([0.67, -0.67, 0.32])
    spin = np.radians(tilt_degrees)
    one = np.cross(normal, [0, 0, 1.0])
    one /= np.linalg.norm(one)
    two = np.cross(normal, one)
    x = np.cos(spin) * one + np.sin(spin) * two
    y = np.cross(normal, x)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([x * 1.4, y * 1.4, normal * 9], axis=1)
    if permuted:
        affine[:3, :3] = np.stack([-y * 1.4, normal * -9, x * 1.4], axis=1)
    return affine, normal


@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize("tilt", range(-180, 180, 45))
def test_an_oblique_stack_keeps_its_slices_along_z_and_looks_to_the_base(
    tmp_path: Path, tilt: int, permuted: bool
):
    affine, normal = _short_axis(tilt + 7, permuted=permuted)
    size = (16, 7, 16) if permuted else (16, 16, 7)
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=size).astype(np.float32), affine)
    nib.save(image, tmp_path / "v.nii")
    volume = read_volume(tmp_path / "v.nii")
    assert volume.shape == (1, 1, 7, 16, 16)
    assert volume.affine is not None
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    assert axes[:, 2] == pytest.approx(normal, abs=1e-5)
    assert np.linalg.det(axes) == pytest.approx(1, abs=1e-5)
    up = np.array([0, 0.7, 0.7])
    assert axes[:, 1] @ (up - normal * (up @ normal)) > 0.5  # within 45 degrees of up


def test_thick_axial_slices_are_plain_ras(tmp_path: Path):
    image = nib.Nifti1Image(
        np.arange(8 * 8 * 3, dtype=np.int16).reshape(8, 8, 3), np.diag([-1, -1, 7, 1])
    )
    nib.save(image, tmp_path / "v.nii")
    assert read_volume(tmp_path / "v.nii").spacing_mm == (7, 1, 1)
    assert read_volume(tmp_path / "v.nii").array[0, 0, 0, -1, -1] == 0


def test_the_manifest_overrides_spacing_in_the_files_own_order(tmp_path: Path):
    affine = np.diag([1.0, 1, 1, 1])[[2, 1, 0, 3]]  # the file's x points to superior
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), affine)
    nib.save(image, tmp_path / "v.nii")
    volume = read_volume(tmp_path / "v.nii", spacing_mm=(8, 1.5, 1.25), frame_ms=40)
    assert volume.spacing_mm == (8, 1.5, 1.25)  # z of the volume is x of the file
    assert volume.spacing_known
    assert volume.frame_ms is None  # one frame has no period


def test_writing_is_reproducible_and_whole_numbers_stay_integers(tmp_path: Path):
    array = np.random.default_rng(0).integers(-1000, 1000, (1, 1, 4, 4, 4)).astype(np.float32)
    volume = Volume(array=array, spacing_mm=(2, 1, 1))
    write_volume(volume, tmp_path / "a.nii.gz")
    write_volume(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert nib.load(tmp_path / "a.nii.gz").get_data_dtype() == np.int16


def test_a_new_spacing_wins_over_the_affine_it_was_resampled_from(tmp_path: Path):
    array = np.random.default_rng(0).normal(size=(1, 1, 4, 4, 4)).astype(np.float32)
    affine = np.array([[0, -1.0, 0, 9], [1, 0, 0, 8], [0, 0, 4, 7], [0, 0, 0, 1]])
    volume = Volume(array=array, spacing_mm=(2, 3, 3), affine=affine)
    write_volume(volume, tmp_path / "v.nii")
    assert nib.load(tmp_path / "v.nii").header.get_zooms() == (3, 3, 2)


def test_a_label_map_lies_on_the_grid_of_its_image(tmp_path: Path):
    rng = np.random.default_rng(0)
    image = Volume(array=rng.normal(size=(1, 2, 3, 4, 5)).astype(np.float32), spacing_mm=(9, 1, 2))
    labels = LabelMap(
        array=rng.integers(0, 4, (2, 3, 4, 5)).astype(np.int16),
        names={"lv": 3, "myocardium": 2, "rv": 1},
        spacing_mm=image.spacing_mm,
    )
    write_volume(image, tmp_path / "image.nii.gz")
    write_label_map(labels, tmp_path / "labels.nii.gz", affine=image.affine)
    one, other = (nib.load(tmp_path / f"{n}.nii.gz") for n in ("image", "labels"))
    assert one.affine == pytest.approx(other.affine)
    assert np.array_equal(np.asarray(other.dataobj).transpose(3, 2, 1, 0), labels.array)


def test_other_file_names_are_refused(tmp_path: Path):
    volume = Volume(array=np.zeros((1, 1, 2, 2, 2), np.float32), spacing_mm=(1, 1, 1))
    with pytest.raises(BadInput, match=r"as '\.png'; expected \.nii or \.nii\.gz"):
        write_volume(volume, tmp_path / "v.png")
    with pytest.raises(UnusableFile, match=r"ends in '\.png'; expected one of .*\.nii\.gz"):
        read_volume(tmp_path / "v.png")
