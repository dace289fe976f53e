"""The Fréchet radiomics distance equals ``frd-score`` on PyRadiomics (versions: reference.json)."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from audit.errors import NotComputable
from audit.features.pyradiomics import installed_version, pyradiomics_features, workers
from audit.features.radiomic_distance import frechet_radiomics_distance

REAL, SYNTHETIC = range(6), range(6, 12)
SPACING_MM = (4.0, 2.5, 2.0)
HERE = Path(__file__).parent
FRD = json.loads((HERE / "reference.json").read_text())["frd"]
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("radiomics") is None,
    reason="pyradiomics-cuda is not installed: pip install pyradiomics-cuda==1.0.4",
)


def volume(seed: int, *, blurred: bool) -> np.ndarray:
    """What make_reference.py drew."""
    noise = np.random.default_rng(seed).normal(size=(10, 20, 24))
    smooth = gaussian_filter(noise, 1.4 if blurred else 1.0)
    return np.clip(2.0 * smooth, -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    with np.load(HERE / "reference.npz") as recorded:
        return dict(recorded)


def test_distance_of_the_recorded_features(rows) -> None:
    """Six volumes a side, a thousand features: their root of S1 S2 errs in the eighth digit."""
    found = frechet_radiomics_distance(real=rows["real"], synthetic=rows["synthetic"])
    assert found == pytest.approx(FRD, abs=1e-6)


@needs_package
def test_features_and_distance_from_the_volumes(rows) -> None:
    found = {
        role: np.stack(
            [
                pyradiomics_features(
                    volume(seed, blurred=role == "synthetic")[None, None], spacing_mm=SPACING_MM
                )
                for seed in seeds
            ]
        )
        for role, seeds in (("real", REAL), ("synthetic", SYNTHETIC))
    }
    for role, features in found.items():
        np.testing.assert_allclose(features, rows[role], rtol=1e-4, atol=1e-6)
    assert frechet_radiomics_distance(**found) == pytest.approx(FRD, abs=1e-4)


@needs_package
@pytest.mark.parametrize("shape", [(1, 1, 1, 24, 24), (2, 3, 6, 8, 8)])
def test_slices_cines_and_channels_give_finite_features(shape: tuple[int, ...]) -> None:
    some = np.random.default_rng(0).uniform(-1, 1, size=shape).astype(np.float32)
    features = pyradiomics_features(some, spacing_mm=(2.0, 1.0, 1.0))
    assert features.shape == ((398 if shape[2] == 1 else 1014) * shape[0],)
    assert np.isfinite(features).all()


@needs_package
def test_constant_volume_has_a_reason() -> None:
    with pytest.raises(NotComputable, match="no features of a volume"):
        pyradiomics_features(np.zeros((1, 1, 8, 8, 8), np.float32), spacing_mm=(1.0, 1.0, 1.0))


def test_as_many_volumes_at_a_time_as_memory_and_cores_allow(monkeypatch) -> None:
    monkeypatch.setattr("audit.features.pyradiomics.cpu_count", lambda: 16)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=32e9))
    assert workers((1, 32, 32, 32), (2.0, 2.0, 2.0)) == 16
    assert workers((1, 32, 32, 32), (10.0, 11.0, 11.0)) == 4  # 5 million voxels of 2 mm
    assert workers((1, 256, 512, 512), (2.0, 2.0, 2.0)) == 1


def test_without_the_package_the_reason_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "radiomics", None)
    with pytest.raises(NotComputable, match="pip install pyradiomics-cuda"):
        installed_version()
