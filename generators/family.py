"""Family: what differs between voldit, cardiodit, medlord and ldm."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel

from generators.grid import Shape
from generators.latent import LatentModel


@dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between voldit, cardiodit, medlord and ldm.

    Attributes:
        name: Name of the family's file.
        config: Pydantic type of the model's configuration; unknown keys are refused.
        build: Builds the model with random weights, with an adapter where the configuration has
            one. ``model.stage1(views)`` returns (reconstruction, regularization), or
            (reconstruction, mean, sigma) for a KL autoencoder.
        fitted: (configuration, padded grid (t, z, y, x), mask channels, classes) to the
            configuration completed with them; BadInput where they contradict it.
        to_model: (b, c, t, z, y, x) to the family's own order, for images and for masks.
        from_model: The way back.
        stage1_views: What the first stage trains on: images in the family's order and one number
            in [0, 1) per image, to one view per image that ``stage1`` takes (a random z-slice for
            cardiodit, a random frame for ldm cine, else the image).
        multiple: By how much each of (t, z, y, x) must be divisible; volumes are padded to it.
    """

    name: str
    config: type[BaseModel]
    build: Callable[[Any], LatentModel]
    fitted: Callable[[Any, Shape, int, int], Any]
    to_model: Callable[[torch.Tensor], torch.Tensor]
    from_model: Callable[[torch.Tensor], torch.Tensor]
    stage1_views: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    multiple: Callable[[Any], Shape]
