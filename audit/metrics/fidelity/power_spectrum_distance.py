"""Root mean square difference of mean log power spectra along each axis, in dB.

0 where synthetic volumes have the real ones' energy at every frequency: smoothing (a decoder's
usual fault) loses the high end, noise and checkerboards raise it. One value per axis, so that a
fault along z or t is not hidden by good planes.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.descriptors import AXES, SPECTRUM_BINS, describe
from audit.masks.pairing import by_variant, measured, pool_of_rows
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_log
from audit.statistics.scalar import rms_between_means

DECIBEL = 10.0


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per axis that is long enough: hold-out against synthetic."""
    axes = AXES if comparison.is_cine else AXES[1:]
    return by_variant(axes, rng, lambda axis, own: _along(comparison, axis, own))


def _along(comparison: Comparison, axis: str, rng: np.random.Generator) -> Measurement:
    curves = describe(comparison, f"spectrum_{axis}").as_rows()
    rows = {role: DECIBEL * values for role, values in curves.items()}
    pool = pool_of_rows(comparison, rows)
    found = infer(
        one_by_one(rms_between_means), pool, rng=rng, permutations=499, interval=students_on_log
    )
    base = measured(comparison, found, axis=axis, bins=SPECTRUM_BINS)
    curve = {
        f"log_power_db_{role}": [float(v) for v in (pool.rows[places] + pool.center).mean(axis=0)]
        for role, places in (("real", pool.holdout), ("synthetic", pool.synthetic))
    }
    return Measurement(
        estimate=base.estimate,
        reference=base.reference,
        p_value=base.p_value,
        params=base.params,
        series={**base.series, **curve},
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("blur", "noise", "slice_shift", "jitter"),
    bounds=(0.0, np.inf),
    unit="dB",
    needs=("holdout",),
    source="log-spectral distance; Durall et al. 2020, arXiv:2003.01826, section 3",
)
