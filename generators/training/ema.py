"""Exponential moving average of the trained weights, with warm-up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Ema:
    """Averages of all trained parameters of a network.

    The decay at step k is ``min(decay, (1 + k) / (10 + k))``: an average that started from random
    weights would otherwise keep them for 1 / (1 - decay) steps.

    Attributes:
        decay: Decay once warmed up.
        shadow: Average of each trained parameter, by name.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {
            name: value.detach().clone()
            for name, value in network.named_parameters()
            if value.requires_grad
        }

    @torch.no_grad()
    def update(self, network: torch.nn.Module, step: int) -> None:
        """Move towards the network's weights after step ``step`` (counted from 0)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        current = dict(network.named_parameters())
        for name, average in self.shadow.items():
            average.lerp_(current[name].detach(), weight)

    def load(self, shadow: Mapping[str, torch.Tensor]) -> None:
        """Set the averages to stored ones."""
        for name, average in self.shadow.items():
            average.copy_(shadow[name])

    @torch.no_grad()
    def write_to(self, network: torch.nn.Module) -> None:
        """Put the averages into a network."""
        for name, value in network.named_parameters():
            if name in self.shadow:
                value.copy_(self.shadow[name])

    @contextmanager
    def applied(self, network: torch.nn.Module) -> Iterator[None]:
        """Let a network use the averages for a block."""
        kept = {n: v.detach().clone() for n, v in network.named_parameters() if n in self.shadow}
        self.write_to(network)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in network.named_parameters():
                    if name in kept:
                        value.copy_(kept[name])
