"""MetaImage and NRRD: LPS to RAS, time, channels, detached data, damage."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from audit.case_files import hash_row
from audit.errors import UnusableFile
from audit.layouts.row import Row
from audit.volume import read_volume

RAMP = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)  # z y x


def _save(path: Path, array: np.ndarray = RAMP, **options: bool) -> Path:
    image = sitk.GetImageFromArray(array, **options)
    if image.GetDimension() == 3:
        image.SetSpacing((0.7, 0.8, 2.5))
        image.SetOrigin((-10, -20, 30))
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_lps_becomes_ras(tmp_path: Path, ending: str):
    volume = read_volume(_save(tmp_path / f"v{ending}"))
    assert np.array_equal(volume.array[0, 0], RAMP[:, ::-1, ::-1])
    assert volume.spacing_mm == (2.5, 0.8, 0.7)
    assert volume.affine[:3, 3] == pytest.approx([10 - 4 * 0.7, 20 - 3 * 0.8, 30])


def test_nifti_written_by_itk_reads_like_metaimage_written_by_itk(tmp_path: Path):
    one = read_volume(_save(tmp_path / "v.mha"))
    other = read_volume(_save(tmp_path / "v.nii.gz"))
    assert np.array_equal(one.array, other.array)
    assert one.affine == pytest.approx(other.affine, abs=1e-4)


def test_a_fourth_axis_is_time_and_components_are_channels(tmp_path: Path):
    four = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    volume = read_volume(_save(tmp_path / "t.mha", four, isVector=False))
    assert volume.shape == (1, 2, 3, 4, 5)
    assert not volume.spacing_known
    vector = read_volume(_save(tmp_path / "c.mha", np.stack([RAMP, -RAMP], -1), isVector=True))
    assert vector.shape == (2, 1, 3, 4, 5)
    assert np.array_equal(vector.array[1], -vector.array[0])


def test_a_two_dimensional_image_is_one_slice(tmp_path: Path):
    assert read_volume(_save(tmp_path / "v.mha", RAMP[0])).shape == (1, 1, 1, 4, 5)


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.raw", "LIST", "slice%03d.raw"])
def test_voxels_outside_the_folder_are_refused(tmp_path: Path, ending: str, target: str):
    (tmp_path / "secret.raw").write_bytes(b"\0" * 120)
    folder = tmp_path / "cohort"
    folder.mkdir()
    file = _save(folder / f"v{ending}")
    lines = file.read_text(errors="replace").splitlines()
    field = "ElementDataFile = " if ending == ".mhd" else "data file: "
    lines = [f"{field}{target}" if line.startswith(field[:9]) else line for line in lines]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(UnusableFile, match=r"outside its folder; expected one data file"):
        read_volume(file)


def test_the_hash_covers_detached_voxels(tmp_path: Path):
    file = _save(tmp_path / "v.mhd")
    row = Row(id="v", subject="v", image=(file,))
    before = hash_row(row)
    raw = next(f for f in tmp_path.iterdir() if "raw" in f.suffix)
    raw.write_bytes(raw.read_bytes()[::-1])
    assert hash_row(row) != before
    raw.unlink()
    with pytest.raises(UnusableFile, match="data file that the header names is missing"):
        read_volume(file)


def test_damage_is_unusable_and_silent(tmp_path: Path, capfd):
    file = _save(tmp_path / "v.nrrd")
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UnusableFile, match="cannot be decoded"):
        read_volume(file)
    (tmp_path / "w.mha").write_text("ObjectType = Image\nNDims = 3\n")
    with pytest.raises(UnusableFile):
        read_volume(tmp_path / "w.mha")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("DimSize", "50000 40000", "enough for its size of 50000×40000×3"),
        ("ElementSpacing", "-0.7 0.8", "voxels of -0.7 mm; expected a positive spacing"),
        ("ElementSpacing", "0 0.8", "voxels of 0 mm; expected a positive spacing"),
    ],
)
def test_a_header_that_lies_is_unusable(tmp_path: Path, field: str, value: str, reason: str):
    file = _save(tmp_path / "v.mha")
    raw, n = re.subn(
        rf"{field} = \S+ \S+".encode(), f"{field} = {value}".encode(), file.read_bytes()
    )
    assert n == 1
    file.write_bytes(raw)
    with pytest.raises(UnusableFile, match=reason):
        read_volume(file)


def test_threads_that_read_at_once_leave_stderr_as_it_was(tmp_path: Path, capfd):
    file = _save(tmp_path / "v.mha")
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda _: float(read_volume(file).array.sum()), range(32)))
    assert set(sums) == {float(RAMP.sum())}
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
