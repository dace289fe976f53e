"""Earth mover's distance between the voxel intensities of held-out real and of synthetic volumes.

In the volumes' own unit (HU for CT), clipped to the audit's window; every volume weighs the same.
Sees calibration errors that per-volume scaling hides. Blind to where intensities lie.
"""

import numpy as np

from audit.comparison import Comparison
from audit.features.descriptors import describe
from audit.masks.pairing import measured, pool_of_rows
from audit.metric import Measurement, Metric
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_log
from audit.statistics.scalar import area_between_means


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """One value: hold-out against synthetic."""
    low, high = comparison.preprocessing.window
    cumulative = describe(comparison, "intensity").as_rows()
    rows = {role: curves * (high - low) for role, curves in cumulative.items()}
    found = infer(
        one_by_one(area_between_means),
        pool_of_rows(comparison, rows),
        rng=rng,
        permutations=499,
        interval=students_on_log,
    )
    return measured(
        comparison,
        found,
        window=[low, high],
        intensity_unit="HU" if comparison.preprocessing.modality == "ct" else "scanner units",
        resolution=(high - low) / rows["synthetic"].shape[1],
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("intensity_shift", "noise"),
    bounds=(0.0, np.inf),
    unit="intensity",
    needs=("holdout",),
    source="Wasserstein-1 of pooled voxel intensities; Villani 2009, doi 10.1007/978-3-540-71050-9",
)
