"""Family and LatentGenerator: one way to train, sample, save and load all latent diffusion models.

A family's file (``generators/models/<name>.py``) says how its model is built and how its tensors
are ordered; everything else is here and in ``generators.training``:

    FAMILY = Family(name="voldit", config=VolDiTConfig, build=build, to_model=..., ...)

    class VolDiT(LatentGenerator):
        family = FAMILY

    MODEL = VolDiT
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel

from generators.latent import LatentModel

Shape = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between voldit, cardiodit, medlord and ldm.

    Attributes:
        name: Name of the family's file.
        config: Pydantic type of the model's configuration; unknown keys are refused.
        build: Builds the model with random weights, with an adapter where the configuration has
            one. ``model.stage1(views)`` returns (reconstruction, regularization), or
            (reconstruction, mean, sigma) for a KL autoencoder.
        conditional: The same configuration with K condition channels.
        to_model: (b, c, t, z, y, x) to the family's own order, for images and for masks.
        from_model: The way back.
        stage1_views: What the first stage trains on: images in the family's order to a batch of
            what ``stage1`` takes (random z-slices for cardiodit, frames for ldm cine).
        multiple: By how much each of (t, z, y, x) must be divisible; volumes are padded to it.
    """

    name: str
    config: type[BaseModel]
    build: Callable[[Any], LatentModel]
    conditional: Callable[[Any, int], Any]
    to_model: Callable[[torch.Tensor], torch.Tensor]
    from_model: Callable[[torch.Tensor], torch.Tensor]
    stage1_views: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    multiple: Callable[[Any], Shape]
