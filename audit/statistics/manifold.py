"""Precision, recall, density and coverage of k-nearest-neighbor manifolds.

Radii are distances to the k-th neighbor of the same set, self excluded; a point is inside a ball
where its distance is strictly less than the radius. Real plays the reference in precision, density
and coverage; synthetic in recall. Radii come from ``audit.neighbors`` (0.22 s of CPU for 5000 rows
of 256 where a partition of all distances takes 0.60); memberships need every pair, a block of rows
at a time.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.neighbors import euclidean_top_k
from audit.statistics.pool import FloatArray, IntArray, Pool

NEIGHBORS = 5
BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Manifold:
    """Four rates of one pair of sets.

    Attributes:
        precision: Share of synthetic inside at least one real ball.
        recall: Share of real inside at least one synthetic ball.
        density: Mean number of real balls around a synthetic point, over k; may exceed 1.
        coverage: Share of real balls that hold at least one synthetic point.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(
    *, real: npt.ArrayLike, synthetic: npt.ArrayLike, neighbors: int = NEIGHBORS
) -> Manifold:
    """All four from features (n, d) and (m, d), a block of rows at a time.

    Raises:
        NotComputable: A side has no more rows than ``neighbors``.

    References:
        Kynkäänniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797.
    """
    x, y = (np.ascontiguousarray(rows, dtype=np.float64) for rows in (real, synthetic))
    refuse_few_neighbors(min(len(x), len(y)), neighbors)
    center = x.mean(axis=0)
    x, y = x - center, y - center
    lengths_x, lengths_y = (np.einsum("nd,nd->n", r, r) for r in (x, y))
    radii_x, radii_y = (_radii(side, neighbors) for side in (x, y))
    step = max(1, BLOCK_BYTES // (8 * len(x)))
    in_real = np.zeros(len(y), dtype=np.int64)
    nearest = np.full(len(x), np.inf)
    recalled = np.zeros(len(x), dtype=bool)
    for k in range(0, len(y), step):
        rows = slice(k, k + step)
        apart = _squared(y[rows], lengths_y[rows], x, lengths_x)
        in_real[rows] = np.count_nonzero(apart < radii_x, axis=1)
        np.minimum(nearest, apart.min(axis=0), out=nearest)
        recalled |= (apart < radii_y[rows, None]).any(axis=0)
    return Manifold(
        precision=float((in_real > 0).mean()),
        recall=float(recalled.mean()),
        density=float(in_real.mean() / neighbors),
        coverage=float((nearest < radii_x).mean()),
    )


def manifold_in_pool(
    pool: Pool, real: IntArray, synthetic: IntArray, neighbors: int = NEIGHBORS
) -> Manifold:
    """The same of two sets of a pool's rows, from its shared squared distances."""
    refuse_few_neighbors(min(len(real), len(synthetic)), neighbors)
    apart = pool.distances
    across = apart[np.ix_(real, synthetic)]
    radii_real, radii_synthetic = (
        np.partition(apart[np.ix_(side, side)], neighbors, axis=1)[:, neighbors, None]
        for side in (real, synthetic)
    )
    inside = across < radii_real
    return Manifold(
        precision=float(inside.any(axis=0).mean()),
        recall=float((across < radii_synthetic.T).any(axis=1).mean()),
        density=float(inside.sum() / (neighbors * len(synthetic))),
        coverage=float(inside.any(axis=1).mean()),
    )


def coverage_of_equals(n: int, m: int, neighbors: int = NEIGHBORS) -> float:
    """Expected coverage where n real and m synthetic rows share one distribution.

    ``1 - Π_{i=1..k} (n - i) / (n + m - i)``: a ball is empty where all k nearest of the pooled
    others are real.

    References:
        Naeem et al. 2020, arXiv:2002.09797, lemma 2.
    """
    i = np.arange(1, neighbors + 1)
    return float(1 - np.prod((n - i) / (n + m - i)))


def refuse_few_neighbors(n: int, neighbors: int) -> None:
    """Stop where a k-th neighbor does not exist.

    Raises:
        NotComputable: n is at most ``neighbors``.
    """
    if n <= neighbors:
        raise NotComputable(
            f"{n} volumes a side", f"more than k = {neighbors}", "Sample more volumes"
        )


def _radii(rows: FloatArray, neighbors: int) -> FloatArray:
    """Squared distance of each row to its k-th neighbor; the row itself is the 0-th."""
    _, index = euclidean_top_k(rows, rows, neighbors + 1)
    # The search ranks in float32; the radius is compared with float64 distances.
    apart = rows - rows[index[:, neighbors]]
    return np.einsum("nd,nd->n", apart, apart)


def _squared(
    a: FloatArray, lengths_a: FloatArray, b: FloatArray, lengths_b: FloatArray
) -> FloatArray:
    apart = a @ b.T
    apart *= -2
    apart += lengths_a[:, None]
    apart += lengths_b
    np.maximum(apart, 0.0, out=apart)
    return apart
