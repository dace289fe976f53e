"""The Fréchet radiomics distance (FRD v1) of given radiomic features, and its measurement.

Features are z-scored by the reference cohort, those that are constant in it are left out, and the
number is the natural logarithm of the squared distance, as the authors' package prints it; the
logarithm of the distance in the paper's equation is half of it.

References:
    Konz et al. 2026, arXiv:2412.01496.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.pairing import measured, pool_of_rows
from audit.metric import Measurement
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


def measured_radiomics(
    comparison: Comparison,
    rows: Mapping[str, npt.NDArray[np.float32]],
    rng: np.random.Generator,
    **described: Any,
) -> Measurement:
    """Hold-out against synthetic; the hold-out is the reference.

    Args:
        comparison: The cohorts.
        rows: Features (n, d) of each volume by role.
        rng: The metric's own stream.
        described: What the result must say of the features.
    """
    pool = pool_of_rows(comparison, {role: r.astype(np.float64) for role, r in rows.items()})
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
        **described,
    )
