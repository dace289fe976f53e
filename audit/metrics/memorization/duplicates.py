"""Share of real volumes that occur again under another patient, within a cohort or across splits.

Exact: the same voxels after preprocessing. Near: the encoder and registration agree that one is a
copy of the other. Duplicates mask copies in comparisons that do not group them, and a patient on
both sides of the split makes the hold-out useless: look here before any other number.
"""

import numpy as np

from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.copies.duplicates import LEAST_FIT, linked, near_duplicates, same_voxels
from audit.errors import NotComputable
from audit.estimate import exact
from audit.metric import Measurement, Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:  # noqa: ARG001
    """Within train, within hold-out, and between them."""
    train, holdout = comparison.cohort("train"), comparison.cohort("holdout")
    pools = {"train": (train, train), "holdout": (holdout, holdout), "across": (holdout, train)}
    return {name: _measure(comparison, *pool) for name, pool in pools.items()}


def _measure(comparison: Comparison, queries: Cohort, database: Cohort) -> Measurement:
    pairs = same_voxels(comparison, queries, database)
    params: dict[str, object] = {"exact_pairs": len(pairs), "least_fit": LEAST_FIT}
    try:
        near = near_duplicates(comparison, queries, database)
        params["near_pairs"] = len(near - pairs)
        pairs = pairs | near
    except NotComputable as error:
        params["near_pairs"] = f"not searched: {error.reason}"
    found = len({a for a, _ in pairs})
    return Measurement(
        estimate=exact(found / len(queries), len(set(queries.subjects))),
        reference={"real_vs_real": 0.0},
        params={**params, "volumes": found, "clusters": clusters(pairs, queries is database)},
    )


def clusters(pairs: set[tuple[int, int]], one_cohort: bool) -> int:  # noqa: FBT001
    """Connected groups of volumes that the pairs form."""
    if not pairs:
        return 0
    shift = 0 if one_cohort else 1 + max(a for a, _ in pairs)
    links = {(a, b + shift) for a, b in pairs}
    nodes = sorted({node for link in links for node in link})
    return len(set(linked(nodes[-1] + 1, links)[nodes].tolist()))


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Duplicates drive memorization: Somepalli et al. 2023, arXiv:2212.03860",
)
