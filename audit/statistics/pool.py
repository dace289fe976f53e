"""Pool: the pooled features of one extractor, one row a subject, and their shared products.

Every Fréchet and kernel quantity of an extractor is a function of blocks of one centered float64
Gram matrix, so it is made once. Above ``GRAM_ROWS`` rows no Gram matrix is kept: blocks are made
from the rows as they are needed, and memory stays at one block.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
T = TypeVar("T")
GRAM_ROWS = 6000
BLOCK_BYTES = 2**25


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Rows of all roles about their pooled mean.

    Attributes:
        rows: Centered features, float64 (N, d).
        center: What was subtracted (d,).
        train: Positions of real rows the generator learned from.
        holdout: Positions of real rows it never saw.
        synthetic: Positions of generated rows.
        spare: Further held-out rows, beyond the n that is compared; they serve the floor.
    """

    rows: FloatArray
    center: FloatArray
    train: IntArray
    holdout: IntArray
    synthetic: IntArray
    spare: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    _made: dict[str, object] = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        """Feature dimension d."""
        return self.rows.shape[1]

    @property
    def real(self) -> IntArray:
        """Positions of all real rows."""
        return np.concatenate([self.holdout, self.spare, self.train])

    @cached_property
    def gram(self) -> FloatArray:
        """Centered products (N, N)."""
        return self.rows @ self.rows.T

    def products(self, a: IntArray, b: IntArray) -> FloatArray:
        """Centered inner products (n, m) of two sets of rows."""
        if len(self.rows) <= GRAM_ROWS:
            return self.gram[np.ix_(a, b)]
        return self.rows[a] @ self.rows[b].T

    @cached_property
    def lengths(self) -> FloatArray:
        """Squared distance (N,) of each row to the pooled mean."""
        return np.einsum("nd,nd->n", self.rows, self.rows)

    @cached_property
    def offsets(self) -> FloatArray:
        """Products (N,) of each centered row with the center: what turns centered to raw."""
        return self.rows @ self.center

    def raw_products(self, a: IntArray, b: IntArray) -> FloatArray:
        """Inner products (n, m) of the features as they came, before centering."""
        shift = (
            self.offsets[a][:, None] + self.offsets[b][None, :] + float(self.center @ self.center)
        )
        return self.products(a, b) + shift

    def squared_distances(self, a: IntArray, b: IntArray) -> FloatArray:
        """Squared Euclidean distances (n, m), clamped at 0."""
        apart = self.lengths[a][:, None] + self.lengths[b][None, :] - 2 * self.products(a, b)
        return np.maximum(apart, 0.0)

    @cached_property
    def distances(self) -> FloatArray:
        """Squared Euclidean distances (N, N), made a block of rows at a time.

        Neighbor statistics of all permutations and splits read this one matrix. A pool holds at
        most 1000 subjects a side (``audit.masks.pairing``), so at most 5000 rows: 191 MiB.
        """
        apart = np.empty((len(self.rows), len(self.rows)))
        step = max(1, BLOCK_BYTES // (8 * max(len(self.rows), 1)))
        for k in range(0, len(self.rows), step):
            block = apart[k : k + step]
            np.matmul(self.rows[k : k + step], self.rows.T, out=block)
            block *= -2
            block += self.lengths[k : k + step, None]
            block += self.lengths
            np.maximum(block, 0.0, out=block)
        return apart

    @cached_property
    def leading_axis(self) -> tuple[FloatArray, float]:
        """Direction (d,) in which real rows vary most, and their standard deviation along it."""
        real = self.rows[self.real] - self.rows[self.real].mean(axis=0)
        _, singular, axes = np.linalg.svd(real, full_matrices=False)
        sd = float(singular[0]) / np.sqrt(max(len(real) - 1, 1))
        return axes[0], sd

    def shifted(self, positions: IntArray, shift_sd: float) -> "Pool":
        """The same pool with some rows moved along the leading axis.

        Args:
            positions: Rows to move.
            shift_sd: By how many standard deviations of the real rows along that axis.
        """
        axis, sd = self.leading_axis
        moved = self.rows.copy()
        moved[positions] += shift_sd * sd * axis
        return Pool(
            rows=moved,
            center=self.center,
            train=self.train,
            holdout=self.holdout,
            synthetic=self.synthetic,
            spare=self.spare,
            _made={k: v for k, v in self._made.items() if k.startswith("ruler:")},
        )

    def once(self, key: str, make: Callable[[], T]) -> T:
        """Make a value of this pool once; keys that start with ``ruler:`` survive ``shifted``."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]


def pool_of(
    *,
    train: FloatArray,
    holdout: FloatArray,
    synthetic: FloatArray,
    spare: FloatArray | None = None,
) -> Pool:
    """Pool the rows (n, d) of three roles, one row a subject; ``train`` may be empty (0, d)."""
    more = np.zeros((0, synthetic.shape[1])) if spare is None else spare
    stacked = np.concatenate(
        [r.reshape(len(r), synthetic.shape[1]) for r in (train, holdout, synthetic, more)]
    ).astype(np.float64)
    center = stacked.mean(axis=0)
    edges = np.cumsum([0, len(train), len(holdout), len(synthetic), len(more)])
    places = [np.arange(lo, hi, dtype=np.intp) for lo, hi in pairwise(edges)]
    return Pool(
        rows=stacked - center,
        center=center,
        train=places[0],
        holdout=places[1],
        synthetic=places[2],
        spare=places[3],
    )
