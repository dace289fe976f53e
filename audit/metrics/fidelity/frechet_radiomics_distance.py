"""Log Fréchet distance of radiomic features of held-out real and of synthetic volumes (FRD, v1).

Features are z-scored by the reference cohort, those that are constant in it are left out, and the
number is the natural logarithm of the squared distance, as the authors' package prints it; the
logarithm of the distance in the paper's equation is half of it. There are more features than
volumes, so the value is nearly all bias: read it against ``real_vs_real`` at the same n. It sees
texture and contrast anywhere in the volume, and no anatomy.

The features are own ones by IBSI definitions (intensity, GLCM, GLRLM, GLSZM, NGTDM, NGLDM;
original, LoG, wavelet): see ``audit.features.radiomics``. PyRadiomics has no build for this Python:
values do not compare with published tables. Seconds a volume at full size, hence only on request.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.features.radiomics import GRAY_LEVELS, LOG_SIGMAS_MM, radiomic_rows
from audit.masks.pairing import measured, pool_of_rows
from audit.metric import Measurement, Metric
from audit.statistics.frechet import frechet
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_of_log
from audit.statistics.pool import FloatArray


def frechet_radiomics_distance(*, real: FloatArray, synthetic: FloatArray) -> float:
    """Log squared Fréchet distance of features (n, d), z-scored by the real side.

    Raises:
        NotComputable: No feature varies in the real cohort, or the distance is 0.
    """
    sd = real.std(axis=0)
    varies = sd > 1e-6 * np.abs(real).max(axis=0, initial=0.0)
    if not varies.any():
        raise NotComputable("no radiomic feature varies between real volumes", "different volumes")
    squared = frechet(
        real=real[:, varies] / sd[varies], synthetic=synthetic[:, varies] / sd[varies]
    ).value
    if squared <= 0:
        raise NotComputable(
            "a radiomics distance of 0, which has no logarithm", "two different cohorts"
        )
    return float(np.log(squared))


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Hold-out against synthetic; the hold-out is the reference."""
    rows = radiomic_rows(comparison)
    pool = pool_of_rows(comparison, rows)
    found = infer(
        one_by_one(
            lambda p, a, b: frechet_radiomics_distance(
                real=p.rows[a] + p.center, synthetic=p.rows[b] + p.center
            )
        ),
        pool,
        rng=rng,
        permutations=99,
        splits=30,
        interval=students_of_log,
        power=False,
    )
    return measured(
        comparison,
        found,
        definition="FRD v1: z-score by the reference, Fréchet distance, logarithm",
        log="natural, of the squared distance; log d of the paper's equation is half",
        distance_squared=float(np.exp(found.estimate.value)),
        features=pool.dim,
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
    version=2,  # zones, gray-tone differences and dependences joined
    default=False,
)
