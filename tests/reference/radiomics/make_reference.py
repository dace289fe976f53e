"""Write reference.npz: what ``frd-score`` says of volumes anyone can draw again.

Run once, outside the project's environment:
    pip install pyradiomics-cuda==1.0.4 nibabel scipy opencv-python-headless pillow
    pip install --no-deps frd-score==1.0.1
    python make_reference.py
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

REAL, SYNTHETIC = range(6), range(6, 12)
SPACING_MM = (4.0, 2.5, 2.0)
PEERS = ("frd-score", "pyradiomics-cuda", "SimpleITK", "PyWavelets", "numpy", "scipy")


def volume(seed: int, *, blurred: bool) -> np.ndarray:
    """Smooth noise (z, y, x) in [-1, 1], the synthetic smoother still; the same in the test."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(10, 20, 24))
    smooth = gaussian_filter(noise, 1.4 if blurred else 1.0)
    return np.clip(2.0 * smooth, -1, 1).astype(np.float32)


def main() -> None:
    import frd_score
    import SimpleITK
    from frd_score.frd import compute_features, compute_frd, get_feature_extractor_v1

    config = Path(frd_score.__file__).parent / "configs" / "extraction_3d.yaml"
    with tempfile.TemporaryDirectory() as folder:
        paths: dict[str, list[str]] = {}
        for role, seeds in (("real", REAL), ("synthetic", SYNTHETIC)):
            for seed in seeds:
                image = SimpleITK.GetImageFromArray(volume(seed, blurred=role == "synthetic"))
                image.SetSpacing(SPACING_MM[::-1])
                path = str(Path(folder) / f"{role}{seed:02d}.nii.gz")
                SimpleITK.WriteImage(image, path)
                paths.setdefault(role, []).append(path)
        extractor = get_feature_extractor_v1(str(config))
        rows = {
            role: compute_features(files, extractor, num_workers=2, frd_version="v1")[0]
            for role, files in paths.items()
        }
        frd = compute_frd([paths["real"], paths["synthetic"]], frd_version="v1", num_workers=2)
    here = Path(__file__).parent
    np.savez_compressed(here / "reference.npz", **rows)
    record = {"versions": {name: version(name) for name in PEERS}, "frd": float(frd)}
    (here / "reference.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
