"""The Fréchet distance at infinite n: a line in 1/n through both-sided subsamples."""

from dataclasses import dataclass

import numpy as np

from audit.errors import NotComputable
from audit.statistics.frechet import frechet
from audit.statistics.pool import IntArray, Pool

ROWS_PER_DIMENSION = 1.5
SIZES = 4
DRAWS = 8
LEAST_ROWS_PER_DIMENSION = 6


@dataclass(frozen=True, kw_only=True)
class Line:
    """A fit of distance against 1/n.

    Attributes:
        intercept: Distance at infinite n.
        slope: Bias times n.
        error: Standard error of the intercept from the scatter about the line.
        sizes: Rows a side.
        values: Mean distance at each size.
    """

    intercept: float
    slope: float
    error: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def extrapolate_frechet(pool: Pool, a: IntArray, b: IntArray, *, seed: int) -> Line:
    """Fit the Fréchet distance of subsamples of both sides against 1/n.

    Sizes run from 1.5 rows a dimension to all rows, evenly in 1/n; small sizes are averaged over
    several draws without replacement.

    Raises:
        NotComputable: n is below twice the least size, so that no line can be drawn.
    """
    n, least = min(len(a), len(b)), int(np.ceil(ROWS_PER_DIMENSION * pool.dim))
    if n < max(2 * least, 8):
        raise NotComputable(
            f"{n} volumes for {pool.dim} dimensions",
            f"at least {max(2 * least, 8)} to extrapolate",
            "Sample more volumes, or read the kernel distance, which has no bias",
        )
    sizes = np.unique(np.round(1 / np.linspace(1 / n, 1 / least, SIZES)).astype(int))
    rng = np.random.default_rng(seed)
    means = []
    for size in sizes:
        draws = 1 if size == n else DRAWS
        values = [
            frechet(
                real=pool.rows[rng.permutation(a)[:size]],
                synthetic=pool.rows[rng.permutation(b)[:size]],
            ).value
            for _ in range(draws)
        ]
        means.append(float(np.mean(values)))
    design = np.stack([np.ones(len(sizes)), 1 / sizes], axis=1)
    solution, *_ = np.linalg.lstsq(design, np.array(means), rcond=None)
    residual = np.array(means) - design @ solution
    variance = float(residual @ residual) / max(len(sizes) - 2, 1)
    covariance = variance * np.linalg.inv(design.T @ design)
    return Line(
        intercept=float(solution[0]),
        slope=float(solution[1]),
        error=float(np.sqrt(max(covariance[0, 0], 0.0))),
        sizes=tuple(int(s) for s in sizes),
        values=tuple(means),
    )


def projected(pool: Pool) -> Pool:
    """The pool itself where n suffices, else its projection onto leading axes of train.

    Raises:
        NotComputable: There is no train fold to take axes from.
    """
    n = min(len(pool.holdout), len(pool.synthetic))
    keep = max(1, n // LEAST_ROWS_PER_DIMENSION)
    if pool.dim <= keep:
        return pool
    if len(pool.train) < 2:
        raise NotComputable(
            f"{n} volumes for {pool.dim} features and no train fold", "train volumes to project on"
        )
    train = pool.rows[pool.train] - pool.rows[pool.train].mean(axis=0)
    axes = np.linalg.svd(train, full_matrices=False)[2][:keep]
    return Pool(
        rows=pool.rows @ axes.T,
        center=pool.center @ axes.T,
        train=pool.train,
        holdout=pool.holdout,
        synthetic=pool.synthetic,
        spare=pool.spare,
    )
