"""Cohorts survive writing and reading; masks are held to their image; skipping is said."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.cohort import Case, cohort_of, read_cohort, write_cohort
from audit.errors import BadInput, UnusableFile
from audit.volume import LabelMap, Volume, write_volume

NAMES = {"lv": 3, "myocardium": 2, "rv": 1}


def _case(number: int, *, frames: int = 3, labels: bool = True, seed: int = 0) -> Case:
    rng = np.random.default_rng([seed, number])
    image = Volume(
        array=rng.normal(size=(1, frames, 4, 5, 6)).astype(np.float32),
        spacing_mm=(8, 1.25, 1.5),
        frame_ms=41.5,
    )
    codes = LabelMap(
        array=rng.integers(0, 4, (frames, 4, 5, 6)).astype(np.int16),
        names=NAMES,
        spacing_mm=image.spacing_mm,
        frame_ms=image.frame_ms,
        frames=(0, 2),
    )
    return Case(
        id=f"s{number}",
        subject=f"p{number // 2}",
        image=image,
        labels=codes if labels else None,
        condition=f"c{number}",
        group="DCM",
        attributes={"lv_edv_ml": 150.25 + number},
    )


def test_a_cohort_survives_writing_and_reading(tmp_path: Path):
    cases = [_case(i) for i in range(4)]
    manifest = write_cohort(iter(cases), tmp_path / "out")
    assert manifest == tmp_path / "out/cohort.csv"
    cohort = read_cohort(tmp_path / "out", role="synthetic")
    assert cohort.labeled
    for before, after in zip(cases, cohort, strict=True):
        assert np.array_equal(before.image.array, after.image.array)
        assert before.labels is not None
        assert after.labels is not None
        assert np.array_equal(before.labels.array, after.labels.array)
        assert after.labels.frames == (0, 2)
        assert after.labels.names == NAMES
        assert after.image.spacing_mm == before.image.spacing_mm
        assert after.image.frame_ms == before.image.frame_ms
        for known in ("id", "subject", "condition", "group", "attributes"):
            assert getattr(after, known) == getattr(before, known)


def test_hashes_follow_the_bytes_and_reading_is_lazy(tmp_path: Path):
    write_cohort([_case(i) for i in range(2)], tmp_path)
    one, two = (read_cohort(tmp_path, role="train") for _ in range(2))
    assert one.hash == two.hash
    write_volume(_case(9).image, tmp_path / "s1.nii.gz")
    three = read_cohort(tmp_path, role="train")
    assert three.case_hashes[0] == one.case_hashes[0]
    assert three.case_hashes[1] != one.case_hashes[1]
    four = read_cohort(tmp_path, role="train")
    (tmp_path / "s0.nii.gz").unlink()
    assert len(four) == 2  # nothing was read yet
    with pytest.raises(UnusableFile, match="the file does not exist"):
        _ = four.hash


def test_awkward_ids_make_safe_file_names(tmp_path: Path):
    ids = ["../../evil", "a b/ü", "plain", "x" * 300, '"quoted", with comma']
    write_cohort([replace(_case(i), id=name) for i, name in enumerate(ids)], tmp_path / "out")
    assert read_cohort(tmp_path / "out", role="synthetic").ids == tuple(ids)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_unknown_spacing_stays_unknown_with_its_labels(tmp_path: Path):
    case = _case(0)
    assert case.labels is not None
    bare = {"spacing_mm": (1.0, 1.0, 1.0), "spacing_known": False}
    case = replace(case, image=replace(case.image, **bare), labels=replace(case.labels, **bare))
    write_cohort([case], tmp_path)
    (after,) = read_cohort(tmp_path, role="synthetic")
    assert not after.image.spacing_known
    assert after.labels is not None
    assert not after.labels.spacing_known


def test_an_unfinished_folder_has_no_manifest(tmp_path: Path):
    def failing():
        yield _case(0)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_cohort(failing(), tmp_path)
    assert not (tmp_path / "cohort.csv").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_writing_refuses_clashing_ids_and_codes(tmp_path: Path):
    with pytest.raises(BadInput, match="two cases have the same id; expected unique ids"):
        write_cohort([_case(0), _case(0)], tmp_path / "a")
    other = _case(1)
    assert other.labels is not None
    other = replace(other, labels=replace(other.labels, names={"lv": 1}))
    with pytest.raises(BadInput, match="'lv' has several codes"):
        write_cohort([_case(0), other], tmp_path / "b")


def test_a_cohort_in_memory_can_be_written(tmp_path: Path):
    write_cohort(cohort_of("synthetic", [_case(0, labels=False)]), tmp_path)
    assert not (tmp_path / "labels.json").exists()
    assert not read_cohort(tmp_path, role="synthetic").labeled


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    ids=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]),
                         min_size=1, max_size=20), min_size=1, max_size=3, unique=True),
    group=st.sampled_from(["DCM", 'a"b', "x,y", "é"]),
)  # fmt: skip
def test_any_id_and_group_survive(tmp_path_factory, ids: list[str], group: str):
    folder = tmp_path_factory.mktemp("out")
    cases = [replace(_case(0, frames=1, labels=False), id=i, group=group) for i in ids]
    write_cohort(cases, folder)
    cohort = read_cohort(folder, role="synthetic")
    assert cohort.ids == tuple(ids)
    assert set(cohort.groups) == {group}


def _edit_mask(folder: Path, edit) -> None:
    file = folder / "s0_labels.nii.gz"
    image = nib.load(file)
    array, affine = edit(np.asarray(image.dataobj), image.affine.copy())
    nib.save(nib.Nifti1Image(array, affine), file)


def _shift(array, affine):
    affine[0, 3] += 3
    return array, affine


def _fraction(array, affine):
    return array.astype(np.float32) + 0.5, affine


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda a, f: (a[:-1], f), r"another grid than its image \(5×5×4, image 6×5×4"),
        (_shift, r"another grid than its image .* 2\.4 voxels apart"),
        (lambda a, f: (a, np.eye(4)), "without geometry"),
        (lambda a, f: (a[..., :2], f), "the mask has 2 frames and its image 3"),
        (lambda a, f: (np.where(a == 3, 7, a).astype(np.int16), f), r"without a name \(7\)"),
        (_fraction, "values that are no codes; expected whole numbers"),
        (lambda a, f: (-a, f), "values that are no codes"),
        (lambda a, f: (a.astype(np.int32) + 99999, f), "values that are no codes"),
    ],
)
def test_a_mask_that_does_not_fit_is_unusable(tmp_path: Path, edit, reason: str):
    write_cohort([_case(0)], tmp_path)
    _edit_mask(tmp_path, edit)
    with pytest.raises(UnusableFile, match=rf"case 1 of 'train' cannot be used: .*{reason}"):
        read_cohort(tmp_path, role="train")[0]


def test_a_mask_stored_in_another_orientation_is_turned_not_refused(tmp_path: Path):
    case = _case(0)
    write_cohort([case], tmp_path)

    def flip(array, affine):
        turn = np.diag([-1.0, 1, 1, 1])
        turn[0, 3] = array.shape[0] - 1
        return array[::-1], affine @ turn

    _edit_mask(tmp_path, flip)
    (after,) = read_cohort(tmp_path, role="train")
    assert after.labels is not None
    assert case.labels is not None
    assert np.array_equal(after.labels.array, case.labels.array)


def test_a_mask_of_one_frame_needs_to_say_which(tmp_path: Path):
    write_cohort([_case(0)], tmp_path)
    _edit_mask(tmp_path, lambda a, f: (a[..., 0], f))
    manifest = tmp_path / "cohort.csv"
    text = manifest.read_text()
    manifest.write_text(text.replace(",0 2,", ",2,"))
    (case,) = read_cohort(tmp_path, role="train")
    assert case.labels is not None
    assert case.labels.labeled_frames == (2,)
    assert case.labels.array[2].any()
    assert not case.labels.array[:2].any()
    manifest.write_text(text.replace(",0 2,", ",5,"))
    with pytest.raises(UnusableFile, match="labeled frames reach 5; expected 0 to 2"):
        read_cohort(tmp_path, role="train")[0]


def test_unnamed_labels_are_refused(tmp_path: Path):
    write_cohort([_case(0)], tmp_path)
    (tmp_path / "labels.json").unlink()
    with pytest.raises(UnusableFile, match=r"without a name \(1, 2, 3\).*Add labels\.json"):
        read_cohort(tmp_path, role="train")[0]
    assert read_cohort(tmp_path, role="train", labels=NAMES)[0].labels is not None


@pytest.mark.parametrize(
    "text",
    ["[1]", '{"lv": "3"}', '{"lv": 0}', '{"lv": 1, "rv": 1}', '{"lv": true}', "{", '{"": 1}'],
)
def test_bad_label_names_are_refused(tmp_path: Path, text: str):
    write_cohort([_case(0)], tmp_path)
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(BadInput, match=r'expected (an object such as )?\{"lv": 3'):
        read_cohort(tmp_path, role="train")


def test_skipping_leaves_out_the_unusable_and_says_so_without_naming_it(tmp_path: Path):
    write_cohort([_case(i) for i in range(4)], tmp_path)
    (tmp_path / "s1.nii.gz").write_bytes((tmp_path / "s1.nii.gz").read_bytes()[:99])
    array = np.full((1, 1, 4, 5, 6), 5, np.float32)
    write_volume(Volume(array=array, spacing_mm=(8, 1.25, 1.5)), tmp_path / "s3.nii.gz")
    with pytest.raises(UnusableFile, match="case 2 of 'train'"):
        list(read_cohort(tmp_path, role="train"))
    cohort = read_cohort(tmp_path, role="train", skip_unusable=True)
    assert cohort.ids == ("s0", "s2")
    (note,) = cohort.notes
    assert note.startswith("2 of 4 cases were skipped as unusable: 1 because every voxel")
    assert "s1" not in note
    assert "s3" not in note


def test_nothing_usable_is_bad_input(tmp_path: Path):
    write_cohort([_case(0)], tmp_path)
    (tmp_path / "s0.nii.gz").write_bytes(b"junk")
    with pytest.raises(BadInput, match="none of the 1 cases of 'train' can be used"):
        read_cohort(tmp_path, role="train", skip_unusable=True)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("../secret.nii.gz", "the path leaves the manifest's folder"),
        ("{outside}/secret.nii.gz", "the path leaves the manifest's folder"),
        ("link.nii.gz", "the path leaves the manifest's folder"),
        ("absent.nii.gz", "the file is missing"),
        ("", "the case has no image"),
    ],
)
def test_paths_stay_inside_unless_asked(tmp_path: Path, cell: str, reason: str):
    write_volume(_case(0).image, tmp_path / "secret.nii.gz")
    folder = tmp_path / "cohort"
    folder.mkdir()
    (folder / "link.nii.gz").symlink_to(tmp_path / "secret.nii.gz")
    (folder / "c.csv").write_text(f"id,image\na,{cell.format(outside=tmp_path)}\n")
    with pytest.raises(UnusableFile, match=reason):
        read_cohort(folder / "c.csv", role="train")[0]
    if "leaves" in reason:
        allowed = read_cohort(folder / "c.csv", role="train", allow_outside=True)
        assert allowed[0].image.frames == 3
