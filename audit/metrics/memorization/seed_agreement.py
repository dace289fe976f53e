"""Do encoders from other seeds flag the same synthetic volumes?

The encoder is trained again (option ``encoder_seeds``, 3 by default); the value is the mean share
of volumes on which two encoders agree. Where it is low, single flags mean little.
"""

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import extractor_of, find_matches
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.metric import Measurement, Metric

SEEDS = 3


def agreement(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Share of pairs of encoders (rows) that agree on each volume (columns)."""
    pairs = list(itertools.combinations(range(len(flags)), 2))
    return np.mean([flags[a] == flags[b] for a, b in pairs], axis=0, dtype=np.float64)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """Train as often as asked; weights and features are cached like the first encoder's."""
    seeds = int(comparison.options.get("encoder_seeds", SEEDS))
    if seeds < 2:
        raise NotComputable(
            "one encoder was trained", "two or more", "Ask for them with encoder_seeds"
        )
    if extractor_of(comparison) in comparison.workshop.weights:
        raise NotComputable("the encoder's weights were given; it is not trained again")
    found = [find_matches(comparison)]
    for offset in range(1, seeds):
        workshop = replace(comparison.workshop, seed=comparison.workshop.seed + offset)
        found.append(find_matches(replace(comparison, workshop=workshop, _made={})))
    flags = np.stack([f.suspicious for f in found])
    shares = flags.mean(axis=1)
    return Measurement(
        estimate=bootstrap_by_subject(
            np.mean, agreement(flags), comparison.synthetic.subjects, rng=rng
        ),
        reference={"chance": float(1 - 2 * shares.mean() * (1 - shares.mean()))},
        params={
            **found[0].params,
            "encoder_seeds": seeds,
            "flagged_by_all": int(flags.all(axis=0).sum()),
            "flagged_by_any": int(flags.any(axis=0).sum()),
        },
        series={"suspicious_share_by_seed": [float(s) for s in shares]},
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Consistency of copy filters: Koeken et al. 2025, arXiv:2510.01793",
)
