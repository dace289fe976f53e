"""Gradient checkpointing: activations of a block are computed again in the backward pass."""

from collections.abc import Callable
from typing import Any

import torch
from monai.networks.blocks.spatialattention import SpatialAttentionBlock
from monai.networks.nets.diffusion_model_unet import DiffusionUNetResnetBlock
from monai.networks.nets.vqvae import VQVAEResidualUnit
from torch import nn
from torch.utils.checkpoint import checkpoint


class Recomputed:
    """Marks a class whose activations ``recompute_activations`` drops."""


def recompute_activations(network: nn.Module) -> None:
    """Trade time for memory in training, in place; keys, numbers and sampling do not change.

    Transformer blocks, U-Net residual blocks and attention, and residual units of the first stage
    are recomputed; a second call changes nothing.
    """
    kinds = (
        Recomputed,
        DiffusionUNetResnetBlock,
        SpatialAttentionBlock,
        VQVAEResidualUnit,
    )
    for module in network.modules():
        # Wrapping modules instead, as torch's own helper does, renames their parameters.
        if isinstance(module, kinds) and "forward" not in vars(module):
            module.forward = _Forward(module.forward)


class _Forward:
    """A block's forward that keeps only its inputs."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.run(*args, **kwargs)
        return checkpoint(self.run, *args, use_reentrant=False, **kwargs)
