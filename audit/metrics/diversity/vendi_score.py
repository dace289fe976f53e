"""Effective number of different synthetic volumes, over that of as many held-out real ones.

1 where the synthetic cohort is as varied as the real one at the same n, below 1 where it repeats
itself. Much above 1 is no merit: noise is varied too. Similarity is the cosine of the features.
"""

import numpy as np

from audit.comparison import Comparison
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_log_of_ratio
from audit.statistics.pool import IntArray, Pool
from audit.statistics.vendi import vendi_score

ORDERS = {"shannon": 1.0, "collision": 2.0, "largest_mode": np.inf}


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One ratio per extractor: synthetic over hold-out."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        pool = pool_for(comparison, extractor)
        found = infer(
            one_by_one(ratio),
            pool,
            rng=own,
            worse="lower",
            permutations=199,
            interval=students_on_log_of_ratio,
        )
        raw = pool.rows + pool.center
        scores = {
            f"vendi_{name}": vendi_score(raw[pool.synthetic], order=q) for name, q in ORDERS.items()
        }
        return measured(
            comparison,
            found,
            **comparison.features(extractor).params,
            **scores,
            vendi_shannon_real=vendi_score(raw[pool.holdout]),
        )

    return by_extractor(comparison, rng, one)


def ratio(pool: Pool, real: IntArray, synthetic: IntArray) -> float:
    """Vendi score (q = 1) of synthetic rows over that of real rows."""
    return vendi_score(pool.rows[synthetic] + pool.center) / vendi_score(
        pool.rows[real] + pool.center
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("collapse",),
    bounds=(0.0, np.inf),
    needs=("holdout",),
    source="Friedman and Dieng 2023, arXiv:2210.02410, definition 3.1, ratio at equal n",
)
