"""Everything the issue names as bad input ends ``voxaudit`` with one line and exit code 2."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import voxaudit
from audit.cohort import Case, write_cohort
from audit.volume import LabelMap, Volume

SHAPE = (1, 2, 3, 4, 5)


def _case(number: int) -> Case:
    rng = np.random.default_rng(number)
    geometry = {"spacing_mm": (8.0, 1.5, 1.5), "frame_ms": 40.0}
    image = Volume(array=rng.normal(size=SHAPE).astype(np.float32), **geometry)
    codes = rng.integers(0, 2, SHAPE[1:]).astype(np.int16)
    labels = LabelMap(array=codes, names={"lv": 1}, **geometry)
    return Case(id=f"s{number}", subject=f"p{number}", image=image, labels=labels)


def _cohort(folder: Path, numbers: range) -> Path:
    write_cohort([_case(i) for i in numbers], folder)
    return folder


def _save(file: Path, array: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(array, nib.load(file).affine), file)


def _truncated(folder: Path) -> None:
    file = folder / "s1.nii.gz"
    file.write_bytes(file.read_bytes()[:-50])


def _with_voxel(value: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        array = np.asarray(nib.load(folder / "s1.nii.gz").dataobj).copy()
        array[0, 0, 0, 0] = value
        _save(folder / "s1.nii.gz", array)

    return spoil


def _constant(folder: Path) -> None:
    _save(folder / "s1.nii.gz", np.zeros((5, 4, 3, 2), np.float32))


def _six_axes(folder: Path) -> None:
    _save(folder / "s1.nii.gz", np.zeros((2, 2, 2, 1, 1, 2), np.float32))


def _with_spacing(step: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        image = nib.load(folder / "s1.nii.gz")
        raw = bytearray(image.to_bytes())
        raw[80:84] = np.array(step, "<f4").tobytes()
        (folder / "s1.nii.gz").write_bytes(raw)

    return spoil


def _other_grid(folder: Path) -> None:
    _save(folder / "s1_labels.nii.gz", np.ones((5, 4, 2, 2), np.int16))


def _unnamed_labels(folder: Path) -> None:
    (folder / "labels.json").unlink()


def _missing_file(folder: Path) -> None:
    (folder / "s1.nii.gz").unlink()


def _leaves_the_folder(folder: Path) -> None:
    manifest = folder / "cohort.csv"
    manifest.write_text(manifest.read_text().replace(",s1.nii.gz", ",../../etc/passwd"))


BAD = {
    "truncated gzip": (_truncated, "gzip stream"),
    "NaN": (_with_voxel(np.nan), "1 voxels that are NaN or infinite"),
    "infinity": (_with_voxel(np.inf), "1 voxels that are NaN or infinite"),
    "constant": (_constant, "every voxel of the image is 0"),
    "wrong rank": (_six_axes, "the image has 6 axes"),
    "zero spacing": (_with_spacing(0), "voxels of 0 mm"),
    "negative spacing": (_with_spacing(-1.5), "voxels of -1.5 mm"),
    "mask on another grid": (_other_grid, "the mask lies on another grid"),
    "unnamed labels": (_unnamed_labels, "codes without a name (1)"),
    "missing file": (_missing_file, "the file is missing"),
    "path that leaves": (_leaves_the_folder, "the path leaves the manifest's folder"),
}
every_bad_input = pytest.mark.parametrize("name", BAD)


def _run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["voxaudit", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        voxaudit.main()
    return int(ended.value.code or 0)


def _one_line(text: str) -> str:
    assert text.endswith("\n")
    (line,) = (line for line in text.splitlines() if " ETA " not in line)  # progress is no error
    assert line.startswith("voxaudit: ")
    assert "expected" in line
    return line


@every_bad_input
def test_data_check_lists_it_and_exits_2(tmp_path: Path, monkeypatch, capfd, name: str):
    spoil, reason = BAD[name]
    folder = _cohort(tmp_path / "a/b/c", range(3))
    spoil(folder)
    assert _run(monkeypatch, "data", "check", folder) == 2
    said = capfd.readouterr()
    assert "of 3 cases cannot be used" in _one_line(said.err)
    assert reason in said.out


@every_bad_input
def test_score_ends_in_one_line_that_names_no_file(tmp_path: Path, monkeypatch, capfd, name: str):
    spoil, reason = BAD[name]
    train = _cohort(tmp_path / "a/b/train", range(3))
    spoil(train)
    paths = {"train": train, "holdout": _cohort(tmp_path / "h", range(10, 13))}
    paths["synthetic"] = _cohort(tmp_path / "s", range(20, 23))
    words = [word for role, path in paths.items() for word in (f"--{role}", path)]
    monkeypatch.setenv("VOXAUDIT_CACHE", str(tmp_path / "cache"))
    assert _run(monkeypatch, "score", *words, "--out", tmp_path / "run") == 2
    line = _one_line(capfd.readouterr().err)
    assert reason in line
    assert "of 'train' cannot be used" in line
    assert str(tmp_path) not in line
    assert "s1" not in line


def test_shared_subjects_end_score(tmp_path: Path, monkeypatch, capfd):
    folder = _cohort(tmp_path / "a", range(3))
    words = [w for role in ("train", "holdout", "synthetic") for w in (f"--{role}", folder)]
    assert _run(monkeypatch, "score", *words, "--out", tmp_path / "run") == 2
    assert "share 3 subjects; expected none" in _one_line(capfd.readouterr().err)


def test_a_case_is_copied_whole(tmp_path: Path):
    """The cohort that the tests above spoil is itself sound."""
    case = replace(_case(0), id="x")
    write_cohort([case], tmp_path)
    from audit.data_check import check_data

    assert check_data([tmp_path]).unusable == ()
