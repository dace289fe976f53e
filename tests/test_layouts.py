"""Folders, manifests, ACDC and M&Ms: which files make which case, and what is known of it."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from audit.cohort import read_cohort
from audit.errors import BadInput, UnusableFile
from audit.layouts.find import find_rows
from audit.layouts.subjects import subject_in

AFFINE = np.diag([1.5, 1.5, 8.0, 1.0])


def _save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def _image(path: Path, frames: int = 1, seed: int = 0) -> Path:
    array = np.random.default_rng(seed).integers(0, 999, (4, 4, 3, frames)).astype(np.int16)
    return _save(path, array if frames > 1 else array[..., 0])


def _labels(path: Path, code: int = 3, frames: int = 1) -> Path:
    array = np.zeros((4, 4, 3, frames), np.uint8)
    array[1:3, 1:3, 1] = code
    return _save(path, array if frames > 1 else array[..., 0])


def _acdc(root: Path) -> Path:
    for part, number, group in (("training", 1, "DCM"), ("testing", 101, "NOR")):
        name = f"patient{number:03d}"
        folder = root / part / name
        _image(folder / f"{name}_4d.nii.gz", frames=6, seed=number)
        for frame in (1, 5):
            _image(folder / f"{name}_frame{frame:02d}.nii.gz")
            _labels(folder / f"{name}_frame{frame:02d}_gt.nii.gz", code=3)
        (folder / "Info.cfg").write_text(
            f"ED: 1\nES: 5\nGroup: {group}\nHeight: 180.0\nNbFrame: 6\nWeight: 80.0\n"
        )
    return root


def test_acdc_gives_cine_two_labeled_frames_group_and_body(tmp_path: Path):
    layout, _ = find_rows(_acdc(tmp_path))
    assert layout == "ACDC"
    (case,) = read_cohort(tmp_path, role="train")
    assert (case.id, case.subject, case.group) == ("patient001", "patient001", "DCM")
    assert case.image.shape == (1, 6, 3, 4, 4)
    assert case.labels is not None
    assert case.labels.names == {"rv": 1, "myocardium": 2, "lv": 3}
    assert case.labels.labeled_frames == (0, 4)
    assert [int(case.labels.mask("lv")[f].sum()) for f in range(6)] == [4, 0, 0, 0, 4, 0]
    assert case.attributes == {
        "ed_frame": 0, "es_frame": 4, "height_cm": 180, "weight_kg": 80, "bsa_m2": 2.0,
    }  # fmt: skip
    (unseen,) = read_cohort(tmp_path, role="holdout")
    assert unseen.id == "patient101"


def test_an_acdc_patient_without_its_cine_is_unusable_not_dropped(tmp_path: Path):
    (_acdc(tmp_path) / "training/patient001/patient001_4d.nii.gz").unlink()
    with pytest.raises(UnusableFile, match=r"case 1 of 'train' cannot be used: .*4D file is miss"):
        read_cohort(tmp_path, role="train")


def _mms(root: Path) -> Path:
    lines = ["External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology,Sex,Height,Weight"]
    for part, code in (("Training/Labeled", "A0S9V9"), ("Testing", "B1L2M3")):
        _image(root / part / code / f"{code}_sa.nii.gz", frames=5)
        _labels(root / part / code / f"{code}_sa_gt.nii.gz", code=1, frames=5)
        lines.append(f"{code},Siemens,A,1,0,3,56,HCM,F,180.0,80")
    _image(root / "Training/Unlabeled/X/X_sa.nii.gz", frames=5, seed=7)
    (root / "210914_M&Ms_Dataset_information.csv").write_text("\n".join(lines) + "\n")
    return root


def test_mms_has_its_own_codes_and_says_which_frames_are_labeled(tmp_path: Path):
    layout, _ = find_rows(_mms(tmp_path))
    assert layout == "M&Ms"
    cohort = read_cohort(tmp_path, role="train")
    assert cohort.ids == ("A0S9V9", "X")
    case, unlabeled = cohort[0], cohort[1]
    assert case.labels is not None
    assert case.labels.names == {"lv": 1, "myocardium": 2, "rv": 3}
    assert case.labels.labeled_frames == (0, 3)
    assert case.group == "HCM"
    assert case.attributes["es_frame"] == 3
    assert case.attributes["bsa_m2"] == pytest.approx(2.0)
    assert unlabeled.labels is None
    assert read_cohort(tmp_path, role="holdout").ids == ("B1L2M3",)


def test_a_manifest_with_only_an_image_column_works(tmp_path: Path):
    for i in range(3):
        _image(tmp_path / f"images/v{i}.nii.gz", seed=i)
    rows = "\n".join(f"images/v{i}.nii.gz" for i in range(3))
    (tmp_path / "train.csv").write_text(f"image\n{rows}\n")
    cohort = read_cohort(tmp_path / "train.csv", role="train")
    assert cohort.ids == ("images/v0", "images/v1", "images/v2")
    assert cohort.subjects == cohort.ids
    (tmp_path / "train.tsv").write_text(
        f"image\tage\n{rows.replace(chr(10), chr(9) + '3' + chr(10))}"
    )
    assert read_cohort(tmp_path / "train.tsv", role="train").ids == cohort.ids


def test_every_column_of_a_manifest_arrives(tmp_path: Path):
    _image(tmp_path / "v.nii.gz", frames=4)
    _labels(tmp_path / "m.nii.gz", frames=4)
    (tmp_path / "labels.json").write_text('{"lv": 3}')
    (tmp_path / "c.csv").write_text(
        "ID,Subject,Image,Mask,Spacing_mm,Frame_ms,Labelled_frames,Condition,Group,Contour_EDV_ml\n"
        'a,s1,v.nii.gz,m.nii.gz,"[1.25, 1.25, 9]",42,0 2,c7,DCM,150.5\n'
    )
    (case,) = read_cohort(tmp_path / "c.csv", role="synthetic")
    assert (case.id, case.subject, case.condition, case.group) == ("a", "s1", "c7", "DCM")
    assert case.image.spacing_mm == (9, 1.25, 1.25)
    assert case.image.frame_ms == 42
    assert case.labels is not None
    assert case.labels.labeled_frames == (0, 2)
    assert case.labels.spacing_mm == case.image.spacing_mm
    assert case.attributes == {"contour_edv_ml": 150.5}


def test_binary_mask_columns_become_structures_and_the_later_lies_on_top(tmp_path: Path):
    _image(tmp_path / "v.nii.gz")
    _labels(tmp_path / "body.nii.gz", code=1)
    nodule = np.zeros((4, 4, 3), np.uint8)
    nodule[1, 1, 1] = 1
    _save(tmp_path / "nodule.nii.gz", nodule)
    (tmp_path / "c.csv").write_text(
        "image,mask_body,nodule_mask\nv.nii.gz,body.nii.gz,nodule.nii.gz\n"
    )
    (case,) = read_cohort(tmp_path / "c.csv", role="train")
    assert case.labels is not None
    assert case.labels.names == {"body": 1, "nodule": 2}
    assert int(case.labels.mask("nodule").sum()) == 1
    assert int(case.labels.mask("body").sum()) == 3


def test_splits_follow_the_role_and_can_be_named(tmp_path: Path):
    for i in range(4):
        _image(tmp_path / f"v{i}.nii.gz", seed=i)
    splits = ("train", "val", "test", "Train")
    rows = "\n".join(f"v{i}.nii.gz,{split}" for i, split in enumerate(splits))
    (tmp_path / "c.csv").write_text(f"image,split\n{rows}\n")
    manifest = tmp_path / "c.csv"
    assert read_cohort(manifest, role="train").ids == ("v0", "v3")
    assert read_cohort(manifest, role="holdout").ids == ("v1", "v2")
    assert read_cohort(manifest, role="holdout", split="test").ids == ("v2",)
    assert len(read_cohort(manifest, role="synthetic")) == 4
    with pytest.raises(BadInput, match="belongs to split 'nine'; expected one of the splits Train"):
        read_cohort(manifest, role="train", split="nine")


def test_a_folder_pairs_masks_and_names_subjects(tmp_path: Path):
    _image(tmp_path / "sub-01_ses-1.nii.gz", seed=1)
    _image(tmp_path / "sub-01_ses-2_image.nii.gz", seed=2)
    _labels(tmp_path / "sub-01_ses-2_labels.nii.gz")
    _image(tmp_path / "p7/one.nii.gz", seed=3)
    _image(tmp_path / "p7/two.nii.gz", seed=4)
    _image(tmp_path / "lone.nii", seed=5)
    (tmp_path / "labels.json").write_text('{"lv": 3}')
    (tmp_path / "notes.txt").write_text("not a volume")
    cohort = read_cohort(tmp_path, role="train")
    found = dict(zip(cohort.ids, cohort.subjects, strict=True))
    assert found == {
        "lone": "lone", "p7/one": "p7", "p7/two": "p7",
        "sub-01_ses-1": "sub-01", "sub-01_ses-2": "sub-01",
    }  # fmt: skip
    assert [case.labels is not None for case in cohort] == [False, False, False, False, True]
    assert cohort.notes == (
        "5 volumes were taken for 3 subjects by the names of their subfolders; give a manifest "
        "with a subject column where that is wrong.",
    )


def test_folders_named_after_collections_are_no_subjects(tmp_path: Path):
    for i, part in enumerate(("subset0", "subset1", "site-A", "images")):
        _image(tmp_path / part / f"v{i}.nii.gz", seed=i)
    cohort = read_cohort(tmp_path, role="train")
    assert set(cohort.subjects) == {"v0", "v1", "v2", "v3"}
    assert cohort.notes == ()


def test_one_folder_around_all_volumes_is_no_subject(tmp_path: Path):
    for i in range(2):
        _image(tmp_path / f"images/v{i}.nii.gz", seed=i)
    assert read_cohort(tmp_path, role="synthetic").subjects == ("v0", "v1")


def test_split_folders_are_splits_and_no_subjects(tmp_path: Path):
    for part in ("train", "test"):
        for i in range(2):
            _image(tmp_path / part / f"{part}{i}.nii.gz", seed=i)
    assert read_cohort(tmp_path, role="train").subjects == ("train0", "train1")
    assert read_cohort(tmp_path, role="holdout").subjects == ("test0", "test1")


def test_two_files_of_one_stem_stay_two_cases(tmp_path: Path):
    _image(tmp_path / "v.nii.gz", seed=0)
    _image(tmp_path / "v.nii", seed=1)
    assert len(read_cohort(tmp_path, role="synthetic")) == 2


def test_one_volume_is_a_cohort_of_one(tmp_path: Path):
    assert len(read_cohort(_image(tmp_path / "v.nii.gz"), role="synthetic")) == 1


@pytest.mark.parametrize("named", ["c1.nii.gz", "c1_labels.nii.gz"])
def test_conditions_may_be_masks_only(tmp_path: Path, named: str):
    _labels(tmp_path / named)
    (tmp_path / "labels.json").write_text('{"lv": 3}')
    (case,) = read_cohort(tmp_path, role="conditions")
    assert case.labels is not None
    assert case.id == "c1"
    assert np.array_equal(case.image.array[0], case.labels.array)


def test_a_manifest_of_masks_serves_as_conditions(tmp_path: Path):
    _labels(tmp_path / "m.nii.gz")
    (tmp_path / "c.csv").write_text("id,mask\nc1,m.nii.gz\n")
    (case,) = read_cohort(tmp_path / "c.csv", role="conditions", labels={"lv": 3})
    assert case.id == "c1"
    with pytest.raises(UnusableFile, match="the case has no image"):
        read_cohort(tmp_path / "c.csv", role="train", labels={"lv": 3})[0]


@pytest.mark.parametrize(
    "labels", ['{"0": "background", "1": "Left Atrium"}', '{"background": 0, "left atrium": 1}']
)
def test_decathlon_and_nnunet_folders_pair_by_name(tmp_path: Path, labels: str):
    _image(tmp_path / "imagesTr/la_003_0000.nii.gz", seed=1)
    _labels(tmp_path / "labelsTr/la_003.nii.gz", code=1)
    _image(tmp_path / "imagesTs/la_004.nii.gz", seed=2)
    (tmp_path / "dataset.json").write_text(f'{{"labels": {labels}}}')
    layout, _ = find_rows(tmp_path)
    assert layout == "Decathlon"
    (case,) = read_cohort(tmp_path, role="train")
    assert case.id == "la_003"
    assert case.labels is not None
    assert int(case.labels.mask("left_atrium").sum()) == 4
    (unseen,) = read_cohort(tmp_path, role="holdout")
    assert (unseen.id, unseen.labels) == ("la_004", None)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"labels": [1]}', '{"labels": {"a": [1, 2]}}'])
def test_a_bad_dataset_json_is_bad_input_or_names_nothing(tmp_path: Path, text: str):
    _image(tmp_path / "imagesTr/a.nii.gz")
    (tmp_path / "dataset.json").write_text(text)
    try:
        cohort = read_cohort(tmp_path, role="train")
    except BadInput:
        return
    assert cohort[0].labels is None


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("sub-01_ses-2_T1w", "sub-01"),
        ("patient001_frame01", "patient001"),
        ("Subject_7-scan", "Subject_7"),
        ("patient001b", None),
        ("substance-1", None),
        ("case_001", None),
    ],
)
def test_subjects_in_file_names(name: str, subject: str | None):
    assert subject_in(name) == subject


def test_frames_of_one_patient_are_one_subject_in_any_layout(tmp_path: Path):
    for i, frame in enumerate(("frame01", "frame12")):
        _image(tmp_path / f"patient001_{frame}.nii.gz", seed=i)
    (tmp_path / "c.csv").write_text("image\npatient001_frame01.nii.gz\npatient001_frame12.nii.gz\n")
    for place in (tmp_path, tmp_path / "c.csv"):
        assert read_cohort(place, role="train").subjects == ("patient001", "patient001")
