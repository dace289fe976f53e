"""Unbiased squared maximum mean discrepancy (MMD²) and its variance, on kernel matrices.

The estimate has expectation 0 where the distributions agree, so it is negative half of the time
there: it is never clamped. Its variance keeps both orders of the Hoeffding decomposition: the
first vanishes where the distributions agree, where the usual jackknife is twice too large.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.statistics.intervals import StandardError
from audit.statistics.pool import FloatArray, IntArray, Pool

Kernel = Callable[[Pool, IntArray, IntArray], FloatArray]
BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
SHRINKAGE = 0.7  # null errors that the slope of a typical difference weighs
FEW = 0.3  # effective share of subjects that carry the kernel: 0.5 for Gaussian rows, 0.2 for gamma


def cubic_kernel(pool: Pool, a: IntArray, b: IntArray) -> FloatArray:
    """``(xᵀy / d + 1)³`` of the features as they came: the kernel of KID.

    References:
        Bińkowski et al. 2018, arXiv:1801.01401.
    """
    root = pool.raw_products(a, b) / pool.dim + 1.0
    return root * root * root


def gaussian_kernel(pool: Pool, a: IntArray, b: IntArray) -> FloatArray:
    """Mean of five Gaussians about the median squared distance of real rows.

    References:
        Gretton et al. 2012, JMLR 13, 723-773 (median heuristic).
    """
    apart = pool.squared_distances(a, b)
    bandwidth = median_squared_distance(pool)
    kernels = (np.exp(-apart / (2 * bandwidth * f * f)) for f in BANDWIDTH_FACTORS)
    return sum(kernels) / len(BANDWIDTH_FACTORS)  # type: ignore[return-value]


def median_squared_distance(pool: Pool) -> float:
    """Median squared distance between real rows: a ruler that no generator can stretch.

    Raises:
        NotComputable: All real rows are equal.
    """

    def find() -> float:
        real = pool.real[:2000]
        apart = pool.squared_distances(real, real)[np.triu_indices(len(real), 1)]
        return float(np.median(apart)) if len(apart) else 0.0

    bandwidth = pool.once("ruler:median", find)
    if not bandwidth > 0:
        raise NotComputable("real volumes with equal features", "features that vary")
    return bandwidth


def mmd2_of_sets(
    pool: Pool, kernel: Kernel, a: Sequence[IntArray], b: Sequence[IntArray]
) -> FloatArray:
    """MMD² of many pairs of row sets from one kernel matrix: indicator vectors, one product."""
    values = _kernel_matrix(pool, kernel)
    first, second = (_indicators(sets, len(values)) for sets in (a, b))
    return mmd2_from_indicators(values, first, second)


def mmd2_from_indicators(
    kernel_matrix: FloatArray, first: FloatArray, second: FloatArray
) -> FloatArray:
    """MMD² of B pairs of sets, given as 0/1 columns (N, B) over one kernel matrix (N, N).

    Also right for nonnegative integer or real weights: no row is ever paired with itself, so a
    weighted (bootstrap) sample keeps its expectation.
    """
    diagonal = np.diag(kernel_matrix)[:, None]
    towards_first = kernel_matrix @ first
    within_first = (first * towards_first).sum(0) - (first**2 * diagonal).sum(0)
    towards_second = kernel_matrix @ second
    within_second = (second * towards_second).sum(0) - (second**2 * diagonal).sum(0)
    n, m = first.sum(0), second.sum(0)
    return np.asarray(
        within_first / (n**2 - (first**2).sum(0))
        + within_second / (m**2 - (second**2).sum(0))
        - 2 * (second * towards_first).sum(0) / (n * m)
    )


def mmd2(*, real: npt.ArrayLike, synthetic: npt.ArrayLike) -> float:
    """Unbiased MMD² with the cubic kernel (KID) of rows (n, d) and (m, d), all pairs.

    Raises:
        NotComputable: Fewer than two rows on a side.
    """
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (real, synthetic))
    if min(len(x), len(y)) < 2:
        raise NotComputable(f"{min(len(x), len(y))} volumes on one side", "at least 2")
    kernel_xx, kernel_yy, kernel_xy = (_cubic(p, q) for p, q in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return float(
        (kernel_xx.sum() - np.trace(kernel_xx)) / (n * (n - 1))
        + (kernel_yy.sum() - np.trace(kernel_yy)) / (m * (m - 1))
        - 2 * kernel_xy.mean()
    )


def mmd2_of_subsets(
    *,
    real: npt.ArrayLike,
    synthetic: npt.ArrayLike,
    subsets: Sequence[tuple[IntArray, IntArray]],
) -> FloatArray:
    """KID of many subsets (positions in real, positions in synthetic) from one Gram matrix.

    The published protocol of torch-fidelity averages 100 subsets of 1000. Same numbers, one
    product in float32 with float64 sums. Their spread is no confidence interval.
    """
    x, y = (np.asarray(rows, dtype=np.float32) for rows in (real, synthetic))
    picks = [np.zeros((len(side), len(subsets)), dtype=np.float32) for side in (x, y)]
    for k, chosen in enumerate(subsets):
        for pick, positions in zip(picks, chosen, strict=True):
            pick[positions, k] = 1.0
    n, m = (len(side) for side in subsets[0])
    total = np.zeros(len(subsets))
    for rows, pick, size in ((x, picks[0], n), (y, picks[1], m)):
        kernel = _cubic(rows, rows)
        np.fill_diagonal(kernel, 0.0)
        total += np.einsum("nb,nb->b", pick, kernel @ pick, dtype=np.float64) / (size * (size - 1))
    across = np.einsum("nb,nb->b", picks[0], _cubic(x, y) @ picks[1], dtype=np.float64)
    return np.asarray(total - 2 * across / (n * m))


def mmd2_standard_error(
    kernel_xx: FloatArray, kernel_yy: FloatArray, kernel_xy: FloatArray
) -> float:
    """Standard error of unbiased MMD² from both orders of its Hoeffding decomposition.

    Args:
        kernel_xx: Kernel (n, n) within one sample.
        kernel_yy: Kernel (m, m) within the other.
        kernel_xy: Kernel (n, m) across.

    References:
        Hoeffding 1948; Sutherland and Deka 2019, arXiv:1906.02104.
    """
    return _total(*_both_orders(kernel_xx, kernel_yy, kernel_xy))


def mmd2_se_in_pool(pool: Pool, kernel: Kernel, a: IntArray, b: IntArray) -> StandardError:
    """``mmd2_standard_error`` of two sets of a pool's rows, and how it falls with the distance.

    The first order is the variance along the difference of the two mean embeddings, so it falls
    with MMD², and the second is what remains at 0. Their ratio to the value is noise where the
    value is: it is shrunk to that of a typical difference, with the weight of a few null errors.

    Where few subjects carry the kernel (heavy tails under a polynomial), a cohort that has not met
    the tail shows too small a value and too small a slope. No number of that cohort can tell; so
    the upper end allows for a difference along the axis of most variance, and the method says it.
    """
    values = _kernel_matrix(pool, kernel)
    blocks = values[np.ix_(a, a)], values[np.ix_(b, b)], values[np.ix_(a, b)]
    first, second = _both_orders(*blocks)
    distance = float(mmd2_of_sets(pool, kernel, [a], [b])[0])
    spreads = [_spread(block) for block in blocks[:2]]
    typical, most = (sum(s[k] for s in spreads) for k in (0, 1))
    few = min(s[2] for s in spreads) < FEW
    weight = SHRINKAGE * float(np.sqrt(max(second, 0.0)))
    total = max(distance, 0.0) + weight
    slope = (max(first, 0.0) + typical * weight) / total if total > 0 else 0.0
    return StandardError(
        error=_total(first, second),
        freedom=min(len(a), len(b)) - 1,
        method="closed-form variance, both orders of the Hoeffding decomposition"
        + ("; few subjects carry the kernel, so the upper end allows for the worst" if few else ""),
        null_error=float(np.sqrt(max(second, 0.0))),
        slope=min(slope, most),
        slope_above=most if few else min(slope, most),
    )


def _total(first: float, second: float) -> float:
    # The first order is an unbiased difference and may come out below 0 where it vanishes.
    return float(np.sqrt(max(first + second, second / 2, 0.0)))


def _both_orders(
    kernel_xx: FloatArray, kernel_yy: FloatArray, kernel_xy: FloatArray
) -> tuple[float, float]:
    """Variance of unbiased MMD² of first and of second order."""
    n, m = kernel_xy.shape
    across = _double_centered_square(kernel_xy, diagonal=True)
    first, second = 0.0, 4 * across / (n * m)
    for inner, outer, size, other in (
        (kernel_xx, kernel_xy, n, m),
        (kernel_yy, kernel_xy.T, m, n),
    ):
        within = _double_centered_square(inner, diagonal=False)
        witness = (inner.sum(1) - np.diag(inner)) / (size - 1) - outer.mean(1)
        first += 4 * (float(witness.var(ddof=1)) - within / (size - 1) - across / other) / size
        second += 2 * within / (size * (size - 1))
    return first, second


def _spread(kernel: FloatArray) -> tuple[float, float, float]:
    """Variance that a unit of MMD² adds in one sample, along a typical and along the worst axis.

    ``4 tr C² / (n tr C)`` and 4 / n times the largest eigenvalue of the covariance C of the
    embedded rows, whose spectrum is the centered kernel's over n. Third, the effective share of
    the rows that carry its trace: 1 where all weigh alike, 1 / n where one carries all.
    """
    n = len(kernel)
    centered = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
    trace = float(np.trace(centered))
    if trace <= 0:
        return 0.0, 0.0, 1.0
    carried = trace**2 / float((np.diag(centered) ** 2).sum()) / n
    typical = 4 * float((centered**2).sum()) / (trace * n * n)
    return typical, 4 * float(np.linalg.eigvalsh(centered)[-1]) / (n * n), carried


def _kernel_matrix(pool: Pool, kernel: Kernel) -> FloatArray:
    everything = np.arange(len(pool.rows), dtype=np.intp)
    return pool.once(f"kernel:{kernel.__name__}", lambda: kernel(pool, everything, everything))


def _double_centered_square(kernel: FloatArray, *, diagonal: bool) -> float:
    """Mean square of the kernel's degenerate part."""
    if diagonal:
        centered = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
        n, m = kernel.shape
        return float((centered**2).sum() / ((n - 1) * (m - 1)))
    # U-centering (Székely and Rizzo 2014): unbiased for the degenerate part without the diagonal.
    n = len(kernel)
    bare = kernel - np.diag(np.diag(kernel))
    rows = bare.sum(1) / (n - 2)
    centered = bare - rows[None, :] - rows[:, None] + bare.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centered, 0.0)
    return float((centered**2).sum() / (n * (n - 3)))


def _cubic(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    root = a @ b.T
    root /= a.shape[1]
    root += 1
    return np.asarray(root * root * root)


def _indicators(sets: Sequence[IntArray], rows: int) -> FloatArray:
    columns = np.zeros((rows, len(sets)))
    for k, positions in enumerate(sets):
        columns[positions, k] = 1.0
    return columns
