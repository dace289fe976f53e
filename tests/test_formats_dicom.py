"""DICOM series: geometry, units, time, enhanced objects, and series that are no image."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from audit.cohort import read_cohort
from audit.errors import UnusableFile
from audit.volume import read_volume

SERIES = generate_uid(entropy_srcs=["series"])
AXIAL = (1.0, 0, 0, 0, 1, 0)
ROWS, COLUMNS = 5, 6


def _image(pixels: np.ndarray, sop_class: str = CTImageStorage) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.SeriesInstanceUID = SERIES
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    data.PixelData = pixels.astype("<i2").tobytes()
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    return data


def _slice(pixels: np.ndarray, position, direction=AXIAL, spacing=(0.8, 0.7), **more) -> Dataset:
    data = _image(pixels)
    data.ImagePositionPatient = list(position)
    data.ImageOrientationPatient = list(direction)
    data.PixelSpacing = list(spacing)
    for name, value in more.items():
        setattr(data, name, value)
    return data


def _write(folder: Path, data: list[Dataset], seed: int = 0) -> Path:
    """In an order that has nothing to do with geometry."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, i in enumerate(np.random.default_rng(seed).permutation(len(data))):
        data[i].save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
    return folder


def _ramp(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-500, 500, (n, ROWS, COLUMNS)).astype(np.int16)


def test_a_ct_series_is_ordered_by_geometry_and_in_hounsfield_units(tmp_path: Path):
    pixels = _ramp(4)
    slices = [
        _slice(p, (-10, -20, 30 + 2.5 * k), RescaleSlope=2, RescaleIntercept=-1024)
        for k, p in enumerate(pixels)
    ]
    volume = read_volume(_write(tmp_path / "ct", slices))
    expected = pixels[:, ::-1, ::-1] * 2.0 - 1024  # LPS to RAS turns x and y
    assert np.array_equal(volume.array[0, 0], expected)
    assert volume.spacing_mm == (2.5, 0.8, 0.7)
    assert volume.frame_ms is None
    assert volume.affine[:3, 3] == pytest.approx([10 - 5 * 0.7, 20 - 4 * 0.8, 30])


def test_each_slice_has_its_own_rescale(tmp_path: Path):
    pixels = _ramp(3)
    slices = [_slice(p, (0, 0, k), RescaleSlope=k + 1, RescaleIntercept=0)
              for k, p in enumerate(pixels)]  # fmt: skip
    volume = read_volume(_write(tmp_path / "pet", slices))
    for k in range(3):
        assert np.array_equal(volume.array[0, 0, k], pixels[k, ::-1, ::-1] * float(k + 1))


def test_a_coronal_series_comes_out_in_ras(tmp_path: Path):
    """In-plane left and feet-ward, slices toward posterior."""
    pixels = _ramp(4)
    slices = [_slice(p, (0, 3.0 * k, 0), direction=(1, 0, 0, 0, 0, -1), spacing=(2, 1))
              for k, p in enumerate(pixels)]  # fmt: skip
    volume = read_volume(_write(tmp_path / "cor", slices))
    assert volume.spacing_mm == (2, 3, 1)
    assert np.array_equal(volume.array[0, 0], pixels[::-1, ::-1, ::-1].transpose(1, 0, 2))


def test_a_cine_series_is_ordered_by_trigger_time(tmp_path: Path):
    pixels = _ramp(6).reshape(2, 3, ROWS, COLUMNS)  # z t y x
    slices = [
        _slice(pixels[z, t], (0, 0, 8.0 * z), TriggerTime=5 + 40.0 * t, InstanceNumber=99 - t)
        for z in range(2)
        for t in range(3)
    ]
    volume = read_volume(_write(tmp_path / "cine", slices))
    assert volume.shape == (1, 3, 2, ROWS, COLUMNS)
    assert volume.frame_ms == 40
    assert np.array_equal(volume.array[0], pixels.swapaxes(0, 1)[:, :, ::-1, ::-1])


def test_temporal_positions_order_frames_but_give_no_period(tmp_path: Path):
    pixels = _ramp(3)
    slices = [_slice(p, (0, 0, 0), TemporalPositionIdentifier=t + 1, SliceThickness=8)
              for t, p in enumerate(pixels)]  # fmt: skip
    volume = read_volume(_write(tmp_path / "cine", slices))
    assert volume.shape == (1, 3, 1, ROWS, COLUMNS)
    assert volume.frame_ms is None
    assert volume.spacing_mm == (8, 0.8, 0.7)
    assert np.array_equal(volume.array[0, :, 0], pixels[:, ::-1, ::-1])


def _enhanced(pixels: np.ndarray) -> Dataset:
    """Frames of (z, t), time running slowest, slices from superior to inferior."""
    slices, frames = pixels.shape[:2]
    data = _image(pixels.swapaxes(0, 1).reshape(-1, ROWS, COLUMNS), EnhancedMRImageStorage)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing, measures.SliceThickness = [0.8, 0.7], 8
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for t in range(frames):
        for z in range(slices):
            place, beat, scale, group = Dataset(), Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [0, 0, -8.0 * z]
            beat.NominalCardiacTriggerDelayTime = 35.0 * t
            scale.RescaleSlope, scale.RescaleIntercept = 0.5, 10
            group.PlanePositionSequence = Sequence([place])
            group.CardiacSynchronizationSequence = Sequence([beat])
            group.PixelValueTransformationSequence = Sequence([scale])
            groups.append(group)
    data.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return data


def test_an_enhanced_multi_frame_cine_is_read_from_its_functional_groups(tmp_path: Path):
    pixels = _ramp(12).reshape(3, 4, ROWS, COLUMNS)
    volume = read_volume(_write(tmp_path / "emr", [_enhanced(pixels)]))
    assert volume.shape == (1, 4, 3, ROWS, COLUMNS)
    assert volume.spacing_mm == (8, 0.8, 0.7)
    assert volume.frame_ms == 35
    expected = pixels.swapaxes(0, 1)[:, ::-1, ::-1, ::-1] * 0.5 + 10
    assert np.array_equal(volume.array[0], expected)


def test_several_series_in_a_folder_are_several_cases_and_one_volume_is_refused(tmp_path: Path):
    folder = tmp_path / "patient" / "study"
    _write(tmp_path / "other", [_slice(_ramp(1, seed=5)[0], (0, 0, 0))])
    for number in range(2):
        slices = [_slice(p, (0, 0, k)) for k, p in enumerate(_ramp(3, seed=number))]
        for data in slices:
            data.SeriesInstanceUID = generate_uid(entropy_srcs=[str(number)])
        for k, data in enumerate(slices):
            folder.mkdir(parents=True, exist_ok=True)
            data.save_as(folder / f"IM{number}{k}", enforce_file_format=True)  # no suffix
    cohort = read_cohort(tmp_path, role="train")
    assert cohort.subjects == ("other", "patient", "patient")
    assert sorted(cohort[i].image.array.sum() for i in (1, 2)) == sorted(
        float(_ramp(3, seed=n).sum()) for n in range(2)
    )
    assert len(set(cohort.case_hashes)) == 3
    with pytest.raises(UnusableFile, match="holds 2 DICOM series; expected one"):
        read_volume(folder)


def test_slices_of_a_cine_in_series_of_their_own_are_one_stack(tmp_path: Path):
    pixels = _ramp(6).reshape(2, 3, ROWS, COLUMNS)
    for z in range(2):
        slices = [
            _slice(pixels[z, t], (0, 0, 8.0 * z), TriggerTime=30.0 * t, FrameOfReferenceUID="1.2.3")
            for t in range(3)
        ]
        for data in slices:
            data.SeriesInstanceUID = generate_uid(entropy_srcs=[f"slice {z}"])
        for t, data in enumerate(slices):
            (tmp_path / "p1").mkdir(exist_ok=True)
            data.save_as(tmp_path / "p1" / f"{z}{t}.dcm", enforce_file_format=True)
    (case,) = read_cohort(tmp_path, role="train")
    assert case.image.shape == (1, 3, 2, ROWS, COLUMNS)
    assert case.image.frame_ms == 30


def test_a_slice_that_was_taken_twice_is_not_joined(tmp_path: Path):
    for take in range(2):
        for t, pixels in enumerate(_ramp(3, seed=take)):
            data = _slice(pixels, (0, 0, 0), TriggerTime=30.0 * t, FrameOfReferenceUID="1.2.3")
            data.SeriesInstanceUID = generate_uid(entropy_srcs=[f"take {take}"])
            (tmp_path / "p1").mkdir(exist_ok=True)
            data.save_as(tmp_path / "p1" / f"{take}{t}.dcm", enforce_file_format=True)
    cohort = read_cohort(tmp_path, role="train")
    assert [case.image.frames for case in cohort] == [3, 3]


def test_a_missing_slice_is_unusable(tmp_path: Path):
    slices = [_slice(p, (0, 0, z)) for p, z in zip(_ramp(4), (0, 2, 4, 8), strict=True)]
    with pytest.raises(UnusableFile, match=r"4\.00 mm apart in one place and 2\.00 mm elsewhere"):
        read_volume(_write(tmp_path / "gap", slices))


def test_a_tilted_gantry_is_unusable(tmp_path: Path):
    slices = [_slice(p, (0, 0.5 * k, 2.0 * k)) for k, p in enumerate(_ramp(4))]
    with pytest.raises(UnusableFile, match=r"sheared by 14\.0 degrees"):
        read_volume(_write(tmp_path / "tilt", slices))


def test_two_images_at_one_place_with_nothing_to_order_them_are_unusable(tmp_path: Path):
    slices = [_slice(p, (0, 0, k // 2)) for k, p in enumerate(_ramp(4))]
    with pytest.raises(UnusableFile, match="2 images lie at one position and nothing orders"):
        read_volume(_write(tmp_path / "echoes", slices))


def test_mixed_sizes_orientations_and_counts_are_unusable(tmp_path: Path):
    ramp = _ramp(3)
    sizes = [_slice(ramp[0], (0, 0, 0)), _slice(ramp[1, :3], (0, 0, 1))]
    with pytest.raises(UnusableFile, match="mixes images of several sizes"):
        read_volume(_write(tmp_path / "sizes", sizes))
    turned = [_slice(ramp[0], (0, 0, 0)), _slice(ramp[1], (0, 0, 1), direction=(0, 1, 0, 0, 0, 1))]
    with pytest.raises(UnusableFile, match="mixes several orientations"):
        read_volume(_write(tmp_path / "turned", turned))
    uneven = [_slice(p, (0, 0, z)) for p, z in zip(ramp, (0, 0, 1), strict=True)]
    with pytest.raises(UnusableFile, match="hold 1 to 2 images"):
        read_volume(_write(tmp_path / "uneven", uneven))


def test_a_file_without_an_image_and_a_truncated_one_are_unusable(tmp_path: Path):
    for name in ("rtplan.dcm", "MR_truncated.dcm", "SC_rgb_rle.dcm"):
        with pytest.raises(UnusableFile):
            read_volume(get_testdata_file(name, download=False))
    (tmp_path / "x.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"junk" * 9)
    with pytest.raises(UnusableFile):
        read_volume(tmp_path / "x.dcm")


@pytest.mark.parametrize(
    "name",
    [f"MR_small_{s}" for s in ("RLE", "jp2klossless", "jpeg_ls_lossless", "bigendian", "implicit")],
)
def test_transfer_syntaxes_of_one_real_slice_decode_alike(name: str):
    plain = read_volume(get_testdata_file("MR_small.dcm", download=False))
    packed = read_volume(get_testdata_file(f"{name}.dcm", download=False))
    assert np.array_equal(plain.array, packed.array)
    assert packed.spacing_mm == (0.8, 0.3125, 0.3125)


def test_the_real_ct_slice_of_pydicom_is_in_hounsfield_units():
    volume = read_volume(get_testdata_file("CT_small.dcm", download=False))
    raw = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    assert volume.array.min() == raw.pixel_array.min() - 1024
    assert volume.spacing_mm == pytest.approx((5, 0.661468, 0.661468))
