"""Fréchet distance within each class: held-out real against synthetic volumes of that class.

As ``fidelity.frechet_distance``, with the bias of the few volumes that a class has: compare with
``real_vs_real`` of the same class, never with the unconditional value.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_class, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.frechet import frechet_in_pool
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_log_of_squared


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor and class."""

    def one(extractor: str, group: str, own: np.random.Generator) -> Measurement:
        found = infer(
            one_by_one(lambda p, a, b: frechet_in_pool(p, a, b).value),
            pool_for(comparison, extractor, group=group),
            rng=own,
            permutations=99,
            splits=25,
            interval=students_on_log_of_squared,
        )
        params = comparison.features(extractor).params
        return measured(comparison, found, **params, group=group)

    return by_class(comparison, rng, one)


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "intensity_shift"),
    bounds=(0.0, np.inf),
    needs=("holdout", "groups"),
    source="Heusel et al. 2017, arXiv:1706.08500, within classes (Benny et al. 2020, "
    "arXiv:2004.12361)",
)
