"""PyRadiomics features of whole volumes, with the settings that the authors of the FRD publish.

As in ``frd-score`` 1.0.1: intensities z-scored per volume, 2 mm voxels, bins of 5 in hundredths of
an SD, LoG at 2 to 5 mm and coif1 wavelets, the whole grid as region but for one corner voxel, and
PyRadiomics' numeric diagnostics (such as the mean before z-scoring) among the features. Of a cine,
four frames evenly spread are averaged.

The package is ``pyradiomics-cuda`` (October 2025), a fork of PyRadiomics with its module and its
settings, which builds where PyRadiomics 3.1 of 2023 does not (Python 3.10 and later; a C compiler
is needed, a GPU is not).
"""

import importlib
import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, cpu_count, delayed

from audit.cache import key_of
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.extractor import Encoder
from audit.features.by_role import rows_by_role
from audit.features.radiomics import LOG_SIGMAS_MM, MOST_FRAMES, mean_over_frames
from audit.volume import Spacing

FloatArray = npt.NDArray[np.float64]
SPACING_MM = 2.0
BYTES_A_VOXEL = 1500  # of 2 mm; measured: 6.5 GB for 5 million
SETTINGS = {
    "normalize": True,
    "normalizeScale": 100,
    "interpolator": "sitkBSpline",
    "padDistance": 10,
    "preCrop": True,
    "binWidth": 5,
    "voxelArrayShift": 300,
    "label": 1,
}
OF_VOLUMES = {
    "resampledPixelSpacing": [SPACING_MM] * 3,
    "correctMask": True,
    "minimumROIDimensions": 1,
}
OF_SLICES = {
    "resampledPixelSpacing": [SPACING_MM, SPACING_MM, 0],
    "force2D": True,
    "force2Ddimension": 0,
}
# All but two: the sum average (twice the joint average) and the maximal correlation coefficient.
COOCCURRENCES = (
    "Autocorrelation", "JointAverage", "ClusterProminence", "ClusterShade", "ClusterTendency",
    "Contrast", "Correlation", "DifferenceAverage", "DifferenceEntropy", "DifferenceVariance",
    "JointEnergy", "JointEntropy", "Imc1", "Imc2", "Idm", "Idmn", "Id", "Idn", "InverseVariance",
    "MaximumProbability", "SumEntropy", "SumSquares",
)  # fmt: skip


def pyradiomics_rows(
    comparison: Comparison,
) -> tuple[dict[str, npt.NDArray[np.float32]], str]:
    """Features (n, d) of all volumes by role, and the package's version; cached by content.

    Raises:
        NotComputable: The package is not installed, or has no features of a volume.
    """
    version = installed_version()
    spacing_mm = comparison.preprocessing.spacing_mm
    encoder = Encoder(
        embed=lambda batch: np.stack(_each(batch, spacing_mm)).astype(np.float32),
        key=key_of(
            pyradiomics=version,
            settings=[SETTINGS, OF_VOLUMES, OF_SLICES],
            features=[COOCCURRENCES, LOG_SIGMAS_MM, MOST_FRAMES],
        ),
        batch_size=workers(comparison.preprocessing.shape, spacing_mm),
    )
    rows = comparison.once("pyradiomics", lambda: rows_by_role(comparison, "pyradiomics", encoder))
    return rows, version


def workers(shape: tuple[int, ...], spacing_mm: Spacing) -> int:
    """Volumes (..., z, y, x) at a time: one a core, as far as free memory goes."""
    import psutil

    sizes_mm = [size * spacing for size, spacing in zip(shape[-3:], spacing_mm, strict=True)]
    voxels = float(np.prod([max(1.0, mm / SPACING_MM) for mm in sizes_mm]))
    fit = int(psutil.virtual_memory().available // (voxels * BYTES_A_VOXEL))
    return max(1, min(cpu_count(), fit))


def _each(batch: npt.NDArray[np.float32], spacing_mm: Spacing) -> list[FloatArray]:
    """One volume a core: PyRadiomics uses one, for up to minutes."""
    found: list[FloatArray] = Parallel(n_jobs=len(batch))(
        delayed(pyradiomics_features)(volume, spacing_mm=spacing_mm) for volume in batch
    )
    return found


def installed_version() -> str:
    """Version of the installed PyRadiomics.

    Raises:
        NotComputable: There is none.
    """
    try:
        return str(importlib.import_module("radiomics").__version__)
    except ImportError as missing:
        raise NotComputable(
            "PyRadiomics is not installed",
            "the package pyradiomics-cuda, which builds with a C compiler",
            "pip install pyradiomics-cuda==1.0.4",
        ) from missing


def pyradiomics_features(volume: npt.NDArray[np.float32], *, spacing_mm: Spacing) -> FloatArray:
    """Features (d,) of one volume (c, t, z, y, x); means over at most four frames.

    Raises:
        NotComputable: PyRadiomics has none of this volume, as of a constant one.
    """
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    extractor = _extractor(flat=volume.shape[2] == 1)
    return mean_over_frames(volume, lambda frame: _frame_features(extractor, frame, spacing_mm))


def _extractor(*, flat: bool) -> Any:
    """The authors' settings; by calls, for reading a file of them warns of removals."""
    module = importlib.import_module("radiomics.featureextractor")
    extractor = module.RadiomicsFeatureExtractor(**SETTINGS, **(OF_SLICES if flat else OF_VOLUMES))
    extractor.enableImageTypes(Original={}, LoG={"sigma": list(LOG_SIGMAS_MM)}, Wavelet={})
    extractor.disableAllFeatures()
    extractor.enableFeaturesByName(
        firstorder=[], glcm=list(COOCCURRENCES), glrlm=[], glszm=[], ngtdm=[]
    )
    return extractor


def _frame_features(
    extractor: Any,
    frame: npt.NDArray[np.float32],
    spacing_mm: Spacing,
) -> FloatArray:
    import SimpleITK

    whole = np.ones(frame.shape, dtype=np.uint8)
    whole[0, 0, 0] = 0  # as in frd-score: a mask without any 0 trips PyRadiomics
    image, mask = SimpleITK.GetImageFromArray(frame), SimpleITK.GetImageFromArray(whole)
    for each in (image, mask):
        each.SetSpacing([float(s) for s in reversed(spacing_mm)])
    try:
        found = extractor.execute(image, mask)
    except (ValueError, RuntimeError, IndexError) as reason:
        raise NotComputable(
            f"PyRadiomics has no features of a volume ({reason})", "volumes that are not constant"
        ) from reason
    return np.array([v for v in found.values() if not isinstance(v, (str, tuple, dict))], float)
