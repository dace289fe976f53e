"""``voxaudit data check``: what it counts, what it refuses, and that it ends in one line."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import voxaudit
from audit.cohort import Case, write_cohort
from audit.data_check import check_data
from audit.errors import BadInput
from audit.volume import LabelMap, Volume, write_volume


def _case(number: int, *, frames: int = 2) -> Case:
    rng = np.random.default_rng(number)
    array = rng.integers(-1000, 1000, (1, frames, 3, 4, 5)).astype(np.float32)
    image = Volume(array=array, spacing_mm=(8, 1.5, 1.5), frame_ms=40)
    codes = np.zeros((frames, 3, 4, 5), np.int16)
    codes[:, 1] = 1 + number % 2
    labels = LabelMap(array=codes, names={"lv": 1, "rv": 2}, spacing_mm=(8, 1.5, 1.5))
    return Case(id=f"s{number}", subject=f"p{number}", image=image, labels=labels, group="NOR")


def _voxaudit(*words: str | Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'voxaudit'; from voxaudit import main; main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lines = done.stderr.splitlines(keepends=True)
    done.stderr = "".join(
        line for line in lines if " ETA " not in line
    )  # a slow machine's progress
    return done


def test_a_sound_cohort_is_described(tmp_path: Path):
    write_cohort([_case(i) for i in range(4)], tmp_path)
    found = check_data([tmp_path])
    (cohort,) = found.cohorts
    assert (cohort.cases, cohort.usable, cohort.subjects, cohort.labeled) == (4, 4, 4, 4)
    assert cohort.layout == "manifest"
    assert cohort.shapes == {"1×2×3×4×5": 4}
    assert cohort.spacings_mm == {"8 1.5 1.5": 4}
    assert cohort.frames_ms == {"40": 4}
    assert cohort.orientations == {"RAS": 4}
    assert cohort.dtypes == {"int16": 4}
    assert cohort.labels == {"lv": 2, "rv": 2}
    assert cohort.groups == {"NOR": 4}
    values = np.concatenate([_case(i).image.array.ravel() for i in range(4)])
    assert cohort.intensity["min"] == values.min()
    assert cohort.intensity["max"] == values.max()
    assert found.unusable == found.duplicates == ()


def test_duplicates_are_found_by_voxels_whatever_the_file(tmp_path: Path):
    write_cohort([_case(0), _case(1), replace(_case(0), id="copy", subject="p9")], tmp_path)
    write_volume(_case(0).image, tmp_path / "copy.nii.gz")
    assert check_data([tmp_path]).duplicates == (("all:s0", "all:copy"),)


def test_shared_subjects_are_found_between_splits_and_between_places(tmp_path: Path):
    manifest = write_cohort([_case(i) for i in range(3)], tmp_path / "a")
    lines = manifest.read_text().splitlines()
    splits = ["split", "train", "train", "test"]
    rows = [f"{line},{split}" for line, split in zip(lines, splits, strict=True)]
    manifest.write_text("\n".join(rows).replace("p2", "p1") + "\n")
    found = check_data([tmp_path / "a"])
    assert [cohort.name for cohort in found.cohorts] == ["test", "train"]
    assert found.shared_subjects == {"test | train": ("p1",)}
    write_cohort([_case(1)], tmp_path / "b")
    write_cohort([_case(1), _case(5)], tmp_path / "c")
    assert check_data([tmp_path / "b", tmp_path / "c"]).shared_subjects == {"b | c": ("p1",)}


def _broken(folder: Path) -> Path:
    """Six cases: one truncated, one constant, one that leaves, one missing, two sound."""
    manifest = write_cohort([_case(i) for i in range(6)], folder)
    (folder / "s1.nii.gz").write_bytes((folder / "s1.nii.gz").read_bytes()[:60])
    flat = Volume(array=np.ones((1, 2, 3, 4, 5), np.float32), spacing_mm=(8, 1.5, 1.5))
    write_volume(flat, folder / "s2.nii.gz")
    (folder / "s4.nii.gz").unlink()
    manifest.write_text(manifest.read_text().replace(",s3.nii.gz", ",../s3.nii.gz"))
    return folder


def test_every_unusable_case_is_listed_with_its_reason(tmp_path: Path):
    found = check_data([_broken(tmp_path / "c")])
    reasons = {bad.file: bad.reason for bad in found.unusable}
    assert list(reasons) == ["s1.nii.gz", "s2.nii.gz", "s3", "s4"]
    for file, reason in {
        "s1.nii.gz": "gzip stream of 60 bytes is damaged",
        "s2.nii.gz": "every voxel of the image is 1",
        "s3": "leaves the manifest's folder",
        "s4": "the file is missing",
    }.items():
        assert reason in reasons[file]
        assert "expected" in reasons[file]
    assert found.cohorts[0].usable == 2


def test_the_command_prints_lists_and_exits_2_with_one_line(tmp_path: Path):
    folder = _broken(tmp_path / "c")
    done = _voxaudit("data", "check", folder)
    assert done.returncode == 2
    assert done.stderr == (
        "voxaudit: 4 of 6 cases cannot be used; expected all of them. Fix the listed files, or "
        "add --skip-unusable to use the rest.\n"
    )
    assert "6 cases, 2 usable" in done.stdout
    assert "s1.nii.gz  the gzip stream" in done.stdout


def test_skipping_is_said_and_json_holds_all_of_it(tmp_path: Path):
    done = _voxaudit("data", "check", _broken(tmp_path / "c"), "--skip-unusable", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["skipped"] is True
    assert len(said["unusable"]) == 4
    assert said["cohorts"][0]["spacings_mm"] == {"8 1.5 1.5": 2}


def test_leakage_exits_2_even_where_files_are_skipped(tmp_path: Path):
    for name in "ab":
        write_cohort([_case(1)], tmp_path / name)
    done = _voxaudit("data", "check", tmp_path / "a", tmp_path / "b", "--skip-unusable")
    assert done.returncode == 2
    assert done.stderr == (
        "voxaudit: 1 subjects are in several splits; expected each in one. Split by subject.\n"
    )
    assert "same voxels: a:s1, b:s1" in done.stdout


def test_masks_alone_are_described_too(tmp_path: Path):
    write_cohort([_case(0)], tmp_path)
    (tmp_path / "cohort.csv").write_text("id,mask\nc0,s0_labels.nii.gz\n")
    (cohort,) = check_data([tmp_path]).cohorts
    assert (cohort.usable, cohort.labels) == (1, {"lv": 1})


def test_a_place_without_volumes_is_bad_input(tmp_path: Path):
    with pytest.raises(BadInput, match="lists no volumes; expected at least one"):
        check_data([tmp_path])
    with pytest.raises(BadInput, match="there is nothing at"):
        check_data([tmp_path / "absent"])
    with pytest.raises(
        BadInput, match=r"cannot be read \(File name too long\); expected a readable"
    ):
        check_data(["x" * 5000])
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(BadInput, match="is not a cohort"):
        check_data([tmp_path / "note.txt"])


def test_a_table_of_many_shapes_is_cut_short_and_json_is_not(tmp_path: Path, monkeypatch, capfd):
    for n in range(2, 13):
        array = np.random.default_rng(n).normal(size=(1, 1, n, 4, 5)).astype(np.float32)
        write_volume(Volume(array=array, spacing_mm=(1, 1, 2)), tmp_path / f"v{n:02d}.nii.gz")
    said = {}
    for words in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["voxaudit", "data", "check", str(tmp_path), *words])
        with pytest.raises(SystemExit, match="^0$"):
            voxaudit.main()
        said[len(words)] = capfd.readouterr().out
    assert "and 3 more (all with --json)" in said[0]
    assert len(json.loads(said[1])["cohorts"][0]["shapes"]) == 11
