"""Fréchet distance of two samples and what it shows where nothing differs.

``|mean difference|² + tr Sx + tr Sy - 2 tr (Sx Sy)^½`` with ``tr (Sx Sy)^½ = |A Bᵀ|_*`` for
``Sx = AᵀA``, ``Sy = BᵀB``: singular values of a product of factors. Never the product ``Sx Sy``,
whose condition number is squared (negative or complex values), and never a d × d root when there
are fewer rows than features.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.statistics.pool import IntArray, Pool

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frechet:
    """The two terms of a Fréchet distance.

    Attributes:
        mean: Squared distance of the means.
        covariance: ``tr Sx + tr Sy - 2 tr (Sx Sy)^½``.
    """

    mean: float
    covariance: float

    @property
    def value(self) -> float:
        """Their sum."""
        return self.mean + self.covariance


def frechet(*, real: npt.ArrayLike, synthetic: npt.ArrayLike) -> Frechet:
    """Fréchet distance between Gaussians fitted to rows (n, d) and (m, d).

    Covariances divide by n - 1. Total: any rank, any n of at least 2, no added ridge.

    Raises:
        NotComputable: Fewer than two rows on a side, or a row that is not finite.

    References:
        Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500.
    """
    x, y = _centered(real), _centered(synthetic)
    means = [np.asarray(rows, dtype=np.float64).mean(axis=0) for rows in (real, synthetic)]
    n, m, d = len(x), len(y), x.shape[1]
    spread = float((x * x).sum()) / (n - 1) + float((y * y).sum()) / (m - 1)
    if min(n, m) <= d:
        overlap = _sum_singular(x @ y.T) / np.sqrt((n - 1.0) * (m - 1.0))
    else:
        overlap = _overlap_of_covariances(x, y)
    gap = means[0] - means[1]
    return Frechet(float(gap @ gap), _not_below_zero(spread - 2 * overlap, spread))


def frechet_in_pool(pool: Pool, a: IntArray, b: IntArray) -> Frechet:
    """Fréchet distance of two sets of a pool's rows, from its shared products where n <= d."""
    if min(len(a), len(b)) > pool.dim:
        return frechet(real=pool.rows[a], synthetic=pool.rows[b])
    n, m = len(a), len(b)
    gap = pool.rows[a].mean(axis=0) - pool.rows[b].mean(axis=0)
    cross = pool.products(a, b)
    cross = cross - cross.mean(axis=0) - cross.mean(axis=1)[:, None] + cross.mean()
    spread = 0.0
    for rows in (pool.rows[a], pool.rows[b]):
        spread += float(rows.var(axis=0, ddof=1).sum())
    overlap = _sum_singular(cross) / np.sqrt((n - 1.0) * (m - 1.0))
    return Frechet(float(gap @ gap), _not_below_zero(spread - 2 * overlap, spread))


def frechet_floor(eigenvalues: npt.ArrayLike, n: int, m: int) -> float:
    """Expected Fréchet distance of two samples of one Gaussian, to first order in 1/n.

    ``(1/n + 1/m) [tr S + ½ Σ_ij λi λj (1 + δij) / (λi + λj)]``. Holds for n, m well above the
    rank; below it the permutation null takes its place.

    Args:
        eigenvalues: Spectrum of the covariance.
        n: Rows of one sample.
        m: Rows of the other.

    Raises:
        NotComputable: A sample is no larger than the rank.

    References:
        Second-order expansion of the Bures distance (Malagò et al. 2018, arXiv:1801.09269).
    """
    spectrum = np.asarray(eigenvalues, dtype=np.float64)
    spectrum = spectrum[spectrum > 1e-12 * spectrum.max(initial=0.0)]
    if min(n, m) <= len(spectrum):
        raise NotComputable(
            f"{min(n, m)} rows for {len(spectrum)} features with variance",
            "more rows than features",
            "Read the value against the permutation null",
        )
    pairs = spectrum[:, None] * spectrum[None, :] / (spectrum[:, None] + spectrum[None, :])
    curved = 0.5 * (pairs.sum() + np.trace(pairs))
    return float((1 / n + 1 / m) * (spectrum.sum() + curved))


def _centered(rows: npt.ArrayLike) -> FloatArray:
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise NotComputable(
            f"{len(values)} volumes on one side", "at least 2", "Sample more volumes"
        )
    if not np.isfinite(values).all():
        raise NotComputable(
            "features that are not finite", "finite ones", "Look for NaN or infinite voxels"
        )
    return values - values.mean(axis=0)


def _overlap_of_covariances(x: FloatArray, y: FloatArray) -> float:
    """Nuclear norm of the factor product where both covariances may have full rank."""
    first, second = x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1)
    try:
        factor = np.linalg.cholesky(first)
    except np.linalg.LinAlgError:
        upper_x: FloatArray = np.linalg.qr(x / np.sqrt(len(x) - 1)).R
        upper_y: FloatArray = np.linalg.qr(y / np.sqrt(len(y) - 1)).R
        return _sum_singular(upper_x @ upper_y.T)
    # Lᵀ S2 L is symmetric with the eigenvalues of S1 S2: the root stays real.
    eigenvalues = np.linalg.eigvalsh(factor.T @ second @ factor)
    return float(np.sqrt(np.maximum(eigenvalues, 0.0)).sum())


def _sum_singular(matrix: FloatArray) -> float:
    return float(np.linalg.svd(matrix, compute_uv=False).sum())


def _not_below_zero(value: float, scale: float) -> float:
    """Round off: a covariance term within rounding of 0 is 0."""
    return 0.0 if abs(value) < 1e-12 * scale else max(value, 0.0)
