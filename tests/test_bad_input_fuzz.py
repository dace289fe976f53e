"""Mutated files have two endings: they are read, or they are BadInput. Never anything else."""

import gzip
import os
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from audit.cohort import read_cohort
from audit.data_check import check_data
from audit.errors import BadInput
from audit.volume import read_volume

RAMP = np.arange(6 * 5 * 4 * 2, dtype=np.int16).reshape(6, 5, 4, 2)
EXAMPLES = int(os.environ.get("VOXAUDIT_FUZZ_EXAMPLES", "0"))  # more, and at random, by night
FUZZ = settings(
    max_examples=EXAMPLES or 120,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
INTERESTING = st.sampled_from(
    [b"\x00\x00", b"\xff\xff", b"\xff\x7f", b"\x00\x80", b"\x01\x00", b"\x00\x00\x80\x7f",
     b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff", b"\x00\x00\x80\xbf", b"\xff\xff\xff\xff"]
)  # fmt: skip
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 399), st.one_of(INTERESTING, st.binary(min_size=1, max_size=8))),
    min_size=1,
    max_size=6,
)


def _mutated(raw: bytes, mutations: list[tuple[int, bytes]]) -> bytes:
    data = bytearray(raw)
    for offset, new in mutations:
        data[offset : offset + len(new)] = new
    return bytes(data)


def _ends_well(file: Path) -> None:
    refusal = ""
    try:
        volume = read_volume(file)
    except BadInput as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert "; expected " in refusal
        return
    assert np.isfinite(volume.array).all()
    assert all(0 < s < np.inf for s in volume.spacing_mm)
    assert volume.frame_ms is None or 0 < volume.frame_ms < np.inf


@pytest.fixture(scope="module")
def nifti_bytes() -> dict[str, bytes]:
    affine = np.diag([-1.5, 1.5, 8, 1])
    image = nib.Nifti1Image(RAMP, affine)
    image.header.set_xyzt_units("mm", "msec")
    return {"one": image.to_bytes(), "two": nib.Nifti2Image(RAMP, affine).to_bytes()}


@FUZZ
@given(kind=st.sampled_from(["one", "two"]), mutations=MUTATIONS)
def test_a_mutated_nifti_header(tmp_path: Path, nifti_bytes, kind: str, mutations):
    file = tmp_path / "v.nii"
    file.write_bytes(_mutated(nifti_bytes[kind], mutations))
    _ends_well(file)


@FUZZ
@given(mutations=MUTATIONS, keep=st.integers(0, 400), cut=st.booleans())
def test_a_mutated_gzip(tmp_path: Path, nifti_bytes, mutations, keep: int, cut: bool):
    packed = gzip.compress(nifti_bytes["one"], mtime=0)
    file = tmp_path / "v.nii.gz"
    file.write_bytes(packed[:keep] if cut else _mutated(packed, mutations))
    _ends_well(file)


@FUZZ
@given(
    data=st.binary(max_size=600),
    ending=st.sampled_from([".nii", ".nii.gz", ".mha", ".dcm", ".npy"]),
)
def test_arbitrary_bytes(tmp_path: Path, data: bytes, ending: str):
    file = tmp_path / f"v{ending}"
    file.write_bytes(data)
    _ends_well(file)


@FUZZ
@given(mutations=MUTATIONS, ending=st.sampled_from([".mha", ".nrrd"]))
def test_a_mutated_metaimage_or_nrrd(tmp_path: Path, mutations, ending: str):
    file = tmp_path / f"v{ending}"
    image = sitk.GetImageFromArray(RAMP[..., 0])
    sitk.WriteImage(image, str(file))
    file.write_bytes(_mutated(file.read_bytes(), mutations))
    _ends_well(file)


@FUZZ
@given(
    mutations=st.lists(
        st.tuples(
            st.integers(132, 1900), st.one_of(INTERESTING, st.binary(min_size=1, max_size=8))
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_mutated_dicom_header(tmp_path: Path, mutations):
    file = tmp_path / "v.dcm"
    raw = Path(str(get_testdata_file("MR_small.dcm", download=False))).read_bytes()
    file.write_bytes(_mutated(raw, mutations))
    _ends_well(file)


@FUZZ
@given(
    mutations=st.lists(
        st.tuples(st.integers(0, 140), st.one_of(INTERESTING, st.binary(min_size=1, max_size=8))),
        min_size=1,
        max_size=4,
    )
)
def test_a_mutated_numpy_header(tmp_path: Path, mutations):
    file = tmp_path / "v.npy"
    np.save(file, RAMP)
    file.write_bytes(_mutated(file.read_bytes(), mutations))
    _ends_well(file)


CELLS = st.one_of(
    st.sampled_from(["v.nii.gz", "../v.nii.gz", "/etc/passwd", ".", "", "absent.nii", "\x00", "nan",
                     "1 1 1", "-1 2 3", "0 9", "train", "1e999", "[1,2", "~", "a\nb", '"', "café"]),
    st.text(max_size=12),
)  # fmt: skip
COLUMNS = st.sampled_from(
    ["image", "mask", "id", "subject", "split", "spacing_mm", "frame_ms", "labeled_frames",
     "condition", "group", "mask_lv", "lv_mask", "labels", "age", "", "image "]
)  # fmt: skip


@FUZZ
@given(
    columns=st.lists(COLUMNS, min_size=1, max_size=6),
    rows=st.lists(st.lists(CELLS, max_size=7), max_size=4),
    separator=st.sampled_from([",", ";", "\t"]),
    names=st.sampled_from(['{"lv": 1}', "{", "[]", '{"lv": 1e99}', "null"]),
)
def test_a_mutated_manifest(tmp_path: Path, nifti_bytes, columns, rows, separator, names):
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(nifti_bytes["one"]))
    (tmp_path / "labels.json").write_text(names)
    table = "\n".join(separator.join(cells) for cells in [columns, *rows])
    (tmp_path / "c.csv").write_text(table, encoding="utf-8", errors="surrogateescape")
    for role in ("train", "conditions"):
        with suppress(BadInput):
            cohort = read_cohort(tmp_path / "c.csv", role=role)
            for i in range(len(cohort)):
                with suppress(BadInput):
                    assert cohort[i].id == cohort.ids[i]
                    assert cohort.sources[i].content_hash()


@FUZZ
@given(data=st.binary(max_size=200), name=st.sampled_from(["c.csv", "labels.json", "Info.cfg"]))
def test_arbitrary_bytes_in_text_files(tmp_path: Path, nifti_bytes, data: bytes, name: str):
    folder = tmp_path / "patient001"
    folder.mkdir(exist_ok=True)
    (folder / "patient001_4d.nii.gz").write_bytes(gzip.compress(nifti_bytes["one"]))
    (tmp_path / "labels.json").unlink(missing_ok=True)
    place = folder / name if name == "Info.cfg" else tmp_path / name
    place.write_bytes(data)
    with suppress(BadInput):
        check_data([place if name == "c.csv" else tmp_path])
