"""Integrated alpha-precision and beta-recall: agreement of nested supports, not of whole sets.

A support at level a is the ball about a cohort's mean that holds the share a of it. Where two
distributions agree, the real support at every a holds the share a of the synthetic cohort, and the
curve of shares is the diagonal. Each index is ``1 - 2 * area between curve and diagonal``: 1 on
the diagonal, 0 where everything lies outside or everything at the center.

Alaa et al. learn an embedding that makes supports balls; here the extractor's features stand in
for it, as in the authors' own variant without embedding.
"""

import numpy as np
import numpy.typing as npt

from audit.statistics.manifold import refuse_few_neighbors
from audit.statistics.pool import FloatArray, IntArray, Pool

# With 5, as precision and recall have, the curve of equal cohorts runs far above the diagonal (each
# synthetic row recalls several real ones), and 24 honest rows score below a generator of one of
# two modes (0.32 and 0.53 in 30 dimensions); with 2 they score above it (0.69 and 0.56).
NEIGHBORS = 2


def integrated_agreement(levels: FloatArray) -> float:
    """``1 - 2 * area between the distribution function of levels (n,) in [0, 1] and the diagonal``.

    The area is the Wasserstein-1 distance to the uniform distribution, in closed form: 1/4n for
    evenly spread levels, 1/2 where all are 0 or all are 1.
    """
    n = len(levels)
    sorted_levels = np.sort(levels)
    start, end = np.arange(n) / n, np.arange(1, n + 1) / n
    inside = np.clip(sorted_levels, start, end)
    area = ((inside - start) ** 2 + (end - inside) ** 2) / 2
    area += (sorted_levels - inside) * (inside - start) + (inside - sorted_levels) * (end - inside)
    return round(max(0.0, float(1 - 2 * area.sum())), 12)  # no agreement is 0, not 1e-16


def alpha_levels(*, real: npt.ArrayLike, synthetic: npt.ArrayLike) -> FloatArray:
    """Level (m,) of the smallest real support that holds each synthetic row; ties count half.

    Args:
        real: Features (n, d).
        synthetic: Features (m, d).
    """
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (real, synthetic))
    center = x.mean(axis=0)
    return _levels_among(_from(center, y), _from(center, x))


def beta_levels(
    *, real: npt.ArrayLike, synthetic: npt.ArrayLike, neighbors: int = NEIGHBORS
) -> FloatArray:
    """Level (n,) of the smallest synthetic support that recalls each real row; 1 where none does.

    A support recalls a real row where one of its synthetic rows is nearer than the row's k-th
    real neighbor. At level 1 that is coverage.

    Args:
        real: Features (n, d).
        synthetic: Features (m, d).
        neighbors: k.

    Raises:
        NotComputable: n is at most ``neighbors``.
    """
    from scipy.spatial.distance import cdist

    x, y = (np.asarray(rows, dtype=np.float64) for rows in (real, synthetic))
    return _beta_levels(
        within=cdist(x, x, "sqeuclidean"),
        across=cdist(x, y, "sqeuclidean"),
        synthetic=y,
        neighbors=neighbors,
    )


def alpha_precision_in_pool(pool: Pool, real: IntArray, synthetic: IntArray) -> float:
    """Integrated alpha-precision of two sets of a pool's rows."""
    return integrated_agreement(alpha_levels(real=pool.rows[real], synthetic=pool.rows[synthetic]))


def beta_recall_in_pool(pool: Pool, real: IntArray, synthetic: IntArray) -> float:
    """Integrated beta-recall of two sets of a pool's rows."""
    apart = pool.distances
    return integrated_agreement(
        _beta_levels(
            within=apart[np.ix_(real, real)],
            across=apart[np.ix_(real, synthetic)],
            synthetic=pool.rows[synthetic],
            neighbors=NEIGHBORS,
        )
    )


def _beta_levels(
    *, within: FloatArray, across: FloatArray, synthetic: FloatArray, neighbors: int
) -> FloatArray:
    """From squared distances (n, n) among real and (n, m) from real to synthetic rows."""
    refuse_few_neighbors(len(within), neighbors)
    radii = np.partition(within, neighbors, axis=1)[:, neighbors, None]
    away = _from(synthetic.mean(axis=0), synthetic)
    levels = _levels_among(away, away)
    return np.asarray(np.where(across < radii, levels, 1.0).min(axis=1))


def _from(center: FloatArray, rows: FloatArray) -> FloatArray:
    """Squared distances (n,) of rows to a point."""
    apart = rows - center
    return np.einsum("nd,nd->n", apart, apart)


def _levels_among(values: FloatArray, reference: FloatArray) -> FloatArray:
    """Share of the reference below each value, ties by half."""
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + up_to) / (2 * len(ordered)))
