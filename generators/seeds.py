"""Seeds: every random number of training and sampling follows from one integer and its place.

No state travels from step to step or from sample to sample: that is why a resumed training, a
longer run and any number of processes give the same numbers.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch


def derive_seed(*place: int | str) -> int:
    """A 63-bit seed for one place, such as ``derive_seed(seed, "sampling", 7)``."""
    digest = hashlib.blake2b(repr(place).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_for(*place: int | str) -> torch.Generator:
    """A CPU generator seeded for one place."""
    return torch.Generator().manual_seed(derive_seed(*place))


@contextmanager
def seeded_globally(*place: int | str) -> Iterator[None]:
    """Seed torch's global CPU and CUDA streams for a block, and give them back as they were.

    For code that takes no generator: the initialization of layers, and dropout.
    """
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(derive_seed(*place))
        if devices:
            torch.cuda.manual_seed_all(derive_seed(*place))
        yield


@dataclass(frozen=True)
class Draw:
    """Random numbers of one training step, one stream per place in the global batch.

    Attributes:
        place: Seed, stage and step.
        slots: Places of this micro-batch in the global batch.
    """

    place: tuple[int | str, ...]
    slots: Sequence[int]

    def normal(self, like: torch.Tensor, purpose: str = "noise") -> torch.Tensor:
        """Standard normal numbers in the shape of a batch."""
        rows = [
            torch.randn(like.shape[1:], generator=generator_for(*self.place, slot, purpose))
            for slot in self.slots
        ]
        return torch.stack(rows).to(like.device)

    def integers(self, high: int, purpose: str = "timesteps") -> torch.Tensor:
        """One integer in [0, high) per place."""
        rows = [
            torch.randint(0, high, (1,), generator=generator_for(*self.place, slot, purpose))
            for slot in self.slots
        ]
        return torch.cat(rows)

    def uniform(self, count: int, purpose: str) -> torch.Tensor:
        """Numbers in [0, 1), shape (places, count)."""
        rows = [
            torch.rand(count, generator=generator_for(*self.place, slot, purpose))
            for slot in self.slots
        ]
        return torch.stack(rows)

    def seed_layers(self) -> None:
        """Seed the global streams, which dropout layers draw from, for this micro-batch.

        Call it within ``seeded_globally``. Processes that hold other samples then drop other units,
        and a resumed training those it would have dropped.
        """
        seed = derive_seed(*self.place, *self.slots[:1], "layers")
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(seed)

    def shared(self, purpose: str) -> torch.Generator:
        """A stream that all places of the step share."""
        return generator_for(*self.place, purpose)
