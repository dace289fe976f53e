"""The joint law of several quantities in two cohorts: energy distance with p, interval and floor.

Marginals may all agree where the joint law does not: a large ventricle with a thin wall is common
in one disease and impossible in another. Columns are scaled by the real cohort's spread. With w the
difference of the two cohorts' weights, the distance is −wᵀDw for the matrix D of pairwise
distances, so that permutations, halves and floors are products with one matrix.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.statistics.inference import estimate_of
from audit.statistics.intervals import students_on_log_of_squared
from audit.statistics.resampling import HALVES, scatter_of_halves
from audit.statistics.two_sample import Floor, floor_of, test_from_null

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Energy distance of the joint law, in standard deviations of the real cohort.

    Attributes:
        distance: With its interval.
        p_value: Permutation p.
        permutations: Behind it.
        floor: Between disjoint real cohorts of the same sizes; None with too few real subjects.
    """

    distance: Estimate
    p_value: float
    permutations: int
    floor: Floor | None


def compare_joint(
    real: npt.ArrayLike,
    synthetic: npt.ArrayLike,
    *,
    further_real: npt.ArrayLike | None = None,
    rng: np.random.Generator,
    permutations: int = 999,
    resamples: int = 400,
) -> Joint:
    """Compare the joint law of real and synthetic subjects.

    Args:
        real: One row a subject (n, d).
        synthetic: Likewise (m, d).
        further_real: Real subjects that only serve the floor (k, d).
        rng: Source of randomness.
        permutations: Random relabelings.
        resamples: Random splits of real subjects.

    Raises:
        NotComputable: A side has fewer than two subjects.

    References:
        Székely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018.
    """
    first, second = _in_order(real), _in_order(synthetic)
    more = np.zeros((0, first.shape[-1])) if further_real is None else _in_order(further_real)
    if len(first) < 2 or len(second) < 2:
        raise NotComputable(
            f"{len(first)} real and {len(second)} synthetic subjects have all quantities",
            "at least two of each",
        )
    known = np.concatenate([first, more])
    apart = _distances(np.concatenate([first, second, more]) / _spread(known))
    n, m = len(first), len(second)
    given = np.zeros(len(apart))
    given[:n], given[n : n + m] = 1 / n, -1 / m
    value = float(_energy(given[None], apart)[0])
    null = _energy(rng.permuted(np.tile(given[: n + m], (permutations, 1)), axis=1), apart)
    scatter = scatter_of_halves(
        _halves(first, second, more, rng.spawn(1)[0]), min(n, m), of_log=True, whole=lambda: value
    )
    return Joint(
        distance=estimate_of(
            max(0.0, value),
            replace(scatter, null=np.maximum(null, 0.0)),
            m,
            interval=students_on_log_of_squared,
        ),
        p_value=test_from_null(value, null).p_value,
        permutations=permutations,
        floor=_floor(apart, n, m, rng, resamples),
    )


def _in_order(rows: npt.ArrayLike) -> FloatArray:
    """Rows sorted, so that the order of subjects changes no random draw."""
    given = np.asarray(rows, dtype=np.float64)
    return given[np.lexsort(given.T)]


def _distances(rows: FloatArray) -> FloatArray:
    from scipy.spatial.distance import cdist

    return cdist(rows, rows)


def _energy(weights: FloatArray, apart: FloatArray) -> FloatArray:
    """−wᵀDw for each row w over the first subjects of D."""
    used = apart[: weights.shape[1], : weights.shape[1]]
    return -np.einsum("kn,kn->k", weights @ used, weights)


def _halves(
    first: FloatArray, second: FloatArray, more: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Distances of random halves, each in the spread of its own real subjects, as the unit is."""
    found = np.zeros(HALVES)
    for k in range(HALVES):
        x, y, rest = (
            side[rng.permutation(len(side))[: max(1, len(side) // 2)]]
            for side in (first, second, more)
        )
        apart = _distances(np.concatenate([x, y]) / _spread(np.concatenate([x, rest])))
        weights = np.concatenate([np.full(len(x), 1 / len(x)), np.full(len(y), -1 / len(y))])
        found[k] = _energy(weights[None], apart)[0]
    return np.maximum(found, 0.0)


def _spread(rows: FloatArray) -> FloatArray:
    """Standard deviation of each column; 1 where it does not vary."""
    spread = rows.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _floor(
    apart: FloatArray, n: int, m: int, rng: np.random.Generator, repeats: int
) -> Floor | None:
    real = np.concatenate([np.arange(n), np.arange(n + m, len(apart))])
    size = min(m, len(real) - n)
    if size < 2:
        return None
    splits = np.zeros((repeats, len(apart)))
    for row in splits:
        order = rng.permutation(real)
        row[order[:n]], row[order[n : n + size]] = 1 / n, -1 / size
    return floor_of(np.maximum(_energy(splits, apart), 0.0), size)
