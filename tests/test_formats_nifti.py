"""NIfTI: units, scaling, byte order, geometry known or not, and every way to be unusable."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from audit.errors import UnusableFile
from audit.volume import read_volume

RAMP = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def _save(path: Path, array: np.ndarray = RAMP, affine: np.ndarray | None = None, **header) -> Path:
    image = nib.Nifti1Image(array, np.diag([2.0, 2, 2, 1]) if affine is None else affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def _patch(path: Path, offset: int, values: np.ndarray) -> Path:
    """Overwrite header bytes of an uncompressed file."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + values.nbytes] = values.tobytes()
    path.write_bytes(raw)
    return path


def test_nifti2_big_endian_and_gzip_without_the_suffix_read_the_same(tmp_path: Path):
    affine = np.diag([2.0, 2, 3, 1])
    nib.save(nib.Nifti2Image(RAMP, affine), tmp_path / "two.nii")
    big = nib.Nifti1Image(RAMP, affine, header=nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "big.nii")
    nib.save(nib.Nifti1Image(RAMP, affine), tmp_path / "one.nii")
    (tmp_path / "packed.nii").write_bytes(gzip.compress((tmp_path / "one.nii").read_bytes()))
    for name in ("two", "big", "one", "packed"):
        volume = read_volume(tmp_path / f"{name}.nii")
        assert np.array_equal(volume.array[0, 0], RAMP.transpose(2, 1, 0))
        assert volume.spacing_mm == (3, 2, 2)


def test_rescale_slope_and_intercept_give_hounsfield_units(tmp_path: Path):
    image = nib.Nifti1Image(RAMP, np.diag([2.0, 2, 2, 1]))
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "ct.nii")
    stored = np.asarray(nib.load(tmp_path / "ct.nii").dataobj.get_unscaled())
    volume = read_volume(tmp_path / "ct.nii")
    assert np.array_equal(volume.array[0, 0].transpose(2, 1, 0), stored * 2.0 - 1024)


@pytest.mark.parametrize(
    ("step", "unit", "expected"),
    [(0.035, "sec", 35.0), (40.0, "msec", 40.0), (42000.0, "usec", 42.0), (1.0, "sec", None),
     (0.0, "msec", None), (40.0, "unknown", None), (40.0, "hz", None)],
)  # fmt: skip
def test_the_frame_period_follows_its_unit(tmp_path: Path, step, unit, expected):
    array = np.arange(2 * 2 * 2 * 3, dtype=np.int16).reshape(2, 2, 2, 3)
    image = nib.Nifti1Image(array, np.diag([2.0, 2, 2, 1]))
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = step
    nib.save(image, tmp_path / "v.nii")
    assert read_volume(tmp_path / "v.nii").frame_ms == (expected and pytest.approx(expected))


def test_microns_and_meters_become_millimeters(tmp_path: Path):
    for unit, factor in (("micron", 1000.0), ("meter", 0.001)):
        image = nib.Nifti1Image(RAMP, np.diag([2.0 * factor, 2 * factor, 2 * factor, 1]))
        image.header.set_xyzt_units(unit, "sec")
        nib.save(image, tmp_path / "v.nii")
        assert read_volume(tmp_path / "v.nii").spacing_mm == pytest.approx((2, 2, 2))


def test_an_identity_affine_is_unknown_spacing_and_an_origin_makes_it_known(tmp_path: Path):
    assert not read_volume(_save(tmp_path / "v.nii", affine=np.eye(4))).spacing_known
    placed = np.eye(4)
    placed[0, 3] = -90
    assert read_volume(_save(tmp_path / "v.nii", affine=placed)).spacing_known
    given = read_volume(_save(tmp_path / "v.nii", affine=np.eye(4)), spacing_mm=(1.5, 1.5, 8))
    assert given.spacing_known
    assert given.spacing_mm == (8, 1.5, 1.5)


def test_a_file_without_any_affine_keeps_its_own_order(tmp_path: Path):
    nib.save(nib.Nifti1Image(RAMP, None), tmp_path / "v.nii")
    volume = read_volume(tmp_path / "v.nii")
    assert not volume.spacing_known
    assert np.array_equal(volume.array[0, 0], RAMP.transpose(2, 1, 0))


def test_a_two_dimensional_file_is_one_slice(tmp_path: Path):
    volume = read_volume(_save(tmp_path / "v.nii", RAMP[:, :, 0], np.diag([-2.0, 3, 1, 1])))
    assert volume.shape == (1, 1, 1, 5, 4)
    assert volume.spacing_mm[1:] == (3, 2)
    assert np.array_equal(volume.array[0, 0, 0], RAMP[::-1, :, 0].T)


def test_channels_of_a_five_dimensional_file_are_kept_apart(tmp_path: Path):
    array = np.arange(2 * 3 * 4 * 1 * 2, dtype=np.int16).reshape(2, 3, 4, 1, 2)
    volume = read_volume(_save(tmp_path / "v.nii", array))
    assert volume.shape == (2, 1, 4, 3, 2)
    assert np.array_equal(volume.array[1, 0], array[..., 0, 1].transpose(2, 1, 0))


@pytest.mark.parametrize("keep", [10, 400, 1000])
def test_a_truncated_gzip_is_unusable(tmp_path: Path, keep: int):
    noise = np.random.default_rng(0).integers(0, 9999, (8, 8, 8)).astype(np.int16)
    file = _save(tmp_path / "v.nii.gz", noise)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UnusableFile, match=r"gzip stream of \d+ bytes .* Copy the file again\."):
        read_volume(file)


def test_a_gzip_that_lost_its_last_byte_is_unusable(tmp_path: Path):
    file = _save(tmp_path / "v.nii.gz")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UnusableFile, match="ends early"):
        read_volume(file)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path):
    inside = nib.Nifti1Image(RAMP, np.diag([2.0, 2, 2, 1])).to_bytes()
    file = tmp_path / "v.nii.gz"
    file.write_bytes(gzip.compress(inside + b"\0" * 2**27, compresslevel=9))
    with pytest.raises(UnusableFile, match="unpacks to more than 67109104 bytes; expected what"):
        read_volume(file)


def test_a_gzip_of_several_members_is_one_file(tmp_path: Path):
    inside = nib.Nifti1Image(RAMP, np.diag([2.0, 2, 2, 1])).to_bytes()
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(inside[:400]) + gzip.compress(inside[400:]))
    assert np.array_equal(read_volume(tmp_path / "v.nii.gz").array[0, 0], RAMP.transpose(2, 1, 0))


def test_a_short_file_is_unusable(tmp_path: Path):
    file = _save(tmp_path / "v.nii")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(
        UnusableFile, match=r"holds 220 bytes of voxels; expected 240 for its .* 4×5×6"
    ):
        read_volume(file)


def test_a_header_that_claims_terabytes_is_refused_without_trying(tmp_path: Path):
    file = _patch(_save(tmp_path / "v.nii"), 42, np.array([32767, 32767, 32767], "<i2"))
    with pytest.raises(UnusableFile, match="expected 70362301923326 for"):
        read_volume(file)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_voxels_are_counted(tmp_path: Path, bad: float):
    array = RAMP.astype(np.float32)
    array[0, 0, :3] = bad
    with pytest.raises(UnusableFile, match="3 voxels that are NaN or infinite; expected none"):
        read_volume(_save(tmp_path / "v.nii", array))


def test_float64_beyond_float32_counts_as_infinite(tmp_path: Path):
    array = RAMP.astype(np.float64)
    array[0, 0, 0] = 1e300
    with pytest.raises(UnusableFile, match="1 voxels that are NaN or infinite"):
        read_volume(_save(tmp_path / "v.nii", array))


def test_a_constant_image_is_unusable(tmp_path: Path):
    with pytest.raises(UnusableFile, match=r"every voxel of the image is 7; expected more than"):
        read_volume(_save(tmp_path / "v.nii", np.full((3, 3, 3), 7, np.int16)))


def test_a_wrong_rank_is_unusable(tmp_path: Path):
    with pytest.raises(UnusableFile, match="the image has 6 axes; expected 2 to 5"):
        read_volume(_save(tmp_path / "v.nii", np.zeros((2, 2, 2, 1, 1, 2), np.int16)))
    with pytest.raises(UnusableFile, match="the image has 1 axes"):
        read_volume(_save(tmp_path / "v.nii", np.arange(5, dtype=np.int16)))


@pytest.mark.parametrize("step", [0.0, -1.5, np.nan, np.inf])
def test_zero_and_negative_spacing_is_unusable(tmp_path: Path, step: float, capfd):
    file = _patch(_save(tmp_path / "v.nii"), 84, np.array([step], "<f4"))
    with pytest.raises(UnusableFile, match="the header says voxels of .* mm; expected a positive"):
        read_volume(file)
    assert capfd.readouterr().err == ""  # nibabel would log its own lines


def test_a_singular_affine_is_unusable(tmp_path: Path):
    rows = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], "<f4")
    file = _patch(_save(tmp_path / "v.nii"), 280, rows)
    with pytest.raises(UnusableFile, match="voxels of no volume"):
        read_volume(file)


@pytest.mark.parametrize("kind", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_complex_and_color_voxels_are_unusable(tmp_path: Path, kind):
    with pytest.raises(UnusableFile, match="expected one real number a voxel"):
        read_volume(_save(tmp_path / "v.nii", np.zeros((3, 3, 3), dtype=kind)))


def test_text_named_nifti_and_a_missing_file_are_unusable(tmp_path: Path):
    (tmp_path / "v.nii").write_text("<html>404</html>" * 40)
    with pytest.raises(UnusableFile, match="does not start with a NIfTI header"):
        read_volume(tmp_path / "v.nii")
    with pytest.raises(UnusableFile, match="the file does not exist"):
        read_volume(tmp_path / "absent.nii.gz")
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    with pytest.raises(UnusableFile, match="NIfTI"):
        read_volume(tmp_path / "empty.nii.gz")


def test_no_message_holds_a_path(tmp_path: Path):
    folder = tmp_path / "JOHN_DOE"
    folder.mkdir()
    file = _save(folder / "v.nii.gz")
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UnusableFile) as caught:
        read_volume(file)
    assert "JOHN_DOE" not in str(caught.value)
