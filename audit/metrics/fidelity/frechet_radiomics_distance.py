"""Log Fréchet distance of radiomic features of held-out real and of synthetic volumes (FRD, v1).

As published: PyRadiomics with the authors' settings, so that a value can be set beside others of
``frd-score`` (same grid, same n). There are more features than volumes, so the value is nearly all
bias: read it against ``real_vs_real`` at the same n. It sees texture anywhere in the volume, and
anatomy only through it. A wrong scale of intensity it hardly sees, for every volume is z-scored
first; where it does, look at the package's diagnostics, which hold the minimum before that.

Needs the extra ``radiomics``, and time: volumes are brought to 2 mm first, of which 5 million
voxels take two minutes of a core and 6.5 GB. ``fidelity.frechet_ibsi_distance`` needs neither.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.pyradiomics import pyradiomics_rows
from audit.features.radiomic_distance import measured_radiomics
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Hold-out against synthetic."""
    rows, version = pyradiomics_rows(comparison)
    return measured_radiomics(
        comparison,
        rows,
        rng,
        feature_package=f"PyRadiomics {version}",
        protocol="settings of frd-score 1.0.1, diagnostics included",
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur"),
    needs=("holdout",),
    source="Konz et al. 2026, arXiv:2412.01496 (v1); frd-score 1.0.1",
    version=3,  # PyRadiomics, as published; the own features are frechet_ibsi_distance
    default=False,
)
