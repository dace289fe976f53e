"""Log Fréchet distance of own IBSI features of held-out real and of synthetic volumes.

Defined as the Fréchet radiomics distance (v1), on features that need no package and a fraction of
the time: intensity statistics and textures by the definitions of the IBSI, on the audit's window
and grid (``audit.features.radiomics``). So it sees a wrong scale of intensity too, and its values
do not compare with ``fidelity.frechet_radiomics_distance`` or published ones. There are more
features than volumes: the value is nearly all bias, read it against ``real_vs_real`` at the same n.
It sees texture and contrast anywhere in the volume, and anatomy only through them.

Seconds a volume at full size, hence only on request.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.radiomic_distance import measured_radiomics
from audit.features.radiomics import GRAY_LEVELS, LOG_SIGMAS_MM, radiomic_rows
from audit.metric import Measurement, Metric


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Hold-out against synthetic."""
    return measured_radiomics(
        comparison,
        radiomic_rows(comparison),
        rng,
        feature_package="own, IBSI definitions (not PyRadiomics)",
        families="intensity statistics, GLCM, GLRLM; of the original GLSZM, NGTDM, NGLDM",
        filters="original, LoG, undecimated coif1",
        log_sigmas_mm=list(LOG_SIGMAS_MM),
        gray_levels=GRAY_LEVELS,
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "intensity_shift"),
    needs=("holdout",),
    source="Konz et al. 2026, arXiv:2412.01496 (v1); features by IBSI, arXiv:1612.07003",
    default=False,
)
