"""Which cases each step sees: a function of seed and step, so that any step can be resumed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from audit.errors import BadInput
from generators.seeds import derive_seed

Item = dict[str, torch.Tensor]
Place = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Order of cases over a stage: a fresh permutation per pass, cut into batches.

    Attributes:
        cases: Size of the cohort.
        batch_size: Cases per step over all processes.
        pieces: Processes times micro-batches.
        seed: Of the permutations.
    """

    cases: int
    batch_size: int
    pieces: int
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size % self.pieces:
            raise BadInput(
                f"a batch of {self.batch_size} does not split into {self.pieces} parts",
                "batch_size divisible by processes times accumulate",
                "Change batch_size or accumulate in the recipe",
            )

    def batch(self, step: int, piece: int) -> list[Place]:
        """(step, slot, case) of one micro-batch."""
        size = self.batch_size // self.pieces
        slots = range(piece * size, (piece + 1) * size)
        return [(step, slot, self._case(step * self.batch_size + slot)) for slot in slots]

    def _case(self, position: int) -> int:
        epoch, place = divmod(position, self.cases)
        return int(self._order(epoch)[place])

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng(derive_seed(self.seed, "order", epoch)).permutation(self.cases)


class Items(Dataset[Item]):
    """Cases as tensors; worker processes may read them ahead."""

    def __init__(self, make: Callable[[int, int, int], Item]) -> None:
        self.make = make

    def __getitem__(self, place: Any) -> Item:
        step, slot, case = place
        return {**self.make(step, slot, case), "slot": torch.tensor(slot)}


def loader(
    items: Items, plan: Plan, steps: range, *, rank: int, accumulate: int, workers: int
) -> Iterator[Item]:
    """Micro-batches of one process, in order."""
    places = [
        plan.batch(step, rank * accumulate + piece) for step in steps for piece in range(accumulate)
    ]
    return iter(DataLoader(items, batch_sampler=places, num_workers=workers))
