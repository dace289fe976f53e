"""The published 2.5D protocol: Fréchet distance of single slices, averaged over three planes.

As in MAISI's script: the middle 40 % of slices of each plane, min–max per volume and plane, every
slice a sample of its own, one distance each for xy, zx and yz, and their mean. It exists so that a
number can be set beside published ones of the same network, grid and count of volumes.

Slices are not patients: neighbors are near copies, so the covariance is of slices within few
volumes and the count of samples says nothing of certainty. Interval, floor and p-value here go by
volumes. Min–max hides a wrong intensity scale. The verdict belongs to
``fidelity.frechet_distance``; this one runs only on request. Slices are brought to 224 pixels.
"""

from itertools import pairwise

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.features.center_slices import CENTER_SHARE, PLANES, center_counts, slice_rows
from audit.masks.pairing import by_variant, measured, pool_of_rows
from audit.metric import Measurement, Metric, Outcome
from audit.networks.from_torchvision import slice_network
from audit.statistics.frechet import frechet
from audit.statistics.inference import infer, one_by_one
from audit.statistics.intervals import students_on_log_of_squared
from audit.statistics.pool import FloatArray, IntArray, Pool

NETWORKS = {"radimagenet_resnet50": "radimagenet", "imagenet_resnet50": "imagenet"}
CHEAP_ROWS = 1000


def frechet_distance_2_5d(
    *, real: FloatArray, synthetic: FloatArray, counts: tuple[int, ...]
) -> list[float]:
    """Distance in each plane, every slice a row.

    Args:
        real: Slice features (n, slices, d) of each volume, plane after plane.
        synthetic: The same of as many volumes.
        counts: Slices of each plane; they sum to ``slices``.

    Raises:
        NotComputable: Unequal n, or a plane with fewer than two slices in all.
    """
    if len(real) != len(synthetic):
        raise NotComputable(
            f"{len(real)} real and {len(synthetic)} synthetic volumes", "the same number of each"
        )
    edges = np.cumsum([0, *counts])
    found = []
    for start, stop in pairwise(edges):
        sides = [s[:, start:stop].reshape(-1, s.shape[2]) for s in (real, synthetic)]
        found.append(frechet(real=sides[0], synthetic=sides[1]).value)
    return found


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per network: hold-out against synthetic, resampled by volume."""
    return by_variant(tuple(NETWORKS), rng, lambda name, own: _one(comparison, name, own))


def _one(comparison: Comparison, name: str, rng: np.random.Generator) -> Measurement:
    workshop = comparison.workshop
    rows = slice_rows(
        comparison,
        name,
        lambda: slice_network(
            workshop, name=name, architecture="resnet50", normalization=NETWORKS[name]
        ),
    )
    counts = center_counts(comparison.preprocessing.shape)
    pool = pool_of_rows(comparison, {role: r.astype(np.float64) for role, r in rows.items()})

    def planes(real: FloatArray, synthetic: FloatArray) -> list[float]:
        sides = [s.reshape(len(s), sum(counts), -1) for s in (real, synthetic)]
        return frechet_distance_2_5d(real=sides[0], synthetic=sides[1], counts=counts)

    # Centering each slice position would change the spread between them: it is undone.
    def mean(p: Pool, a: IntArray, b: IntArray) -> float:
        return float(np.mean(planes(p.rows[a] + p.center, p.rows[b] + p.center)))

    draws = 99 if len(pool.synthetic) * max(counts) <= CHEAP_ROWS else 19
    found = infer(
        one_by_one(mean),
        pool,
        rng=rng,
        permutations=draws,
        splits=max(10, draws // 4),
        interval=students_on_log_of_squared,
        power=False,
    )
    sides = (pool.rows[p] + pool.center for p in (pool.holdout, pool.synthetic))
    by_plane = dict(zip(PLANES, planes(*sides), strict=True))
    return measured(
        comparison,
        found,
        protocol="MAISI 2.5D: slices as samples, mean of three planes",
        extractor=name,
        slices_a_volume=dict(zip(PLANES, counts, strict=True)),
        center_share=CENTER_SHARE,
        intensity="min-max per volume and plane",
        unit_of_inference="volumes; slices are not patients",
        **{f"distance_{plane}": value for plane, value in by_plane.items()},
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    needs=("holdout",),
    source="Guo et al. 2024 (MAISI), arXiv:2409.11169; MONAI tutorials, compute_fid_2-5d_ct.py",
    default=False,
)
