"""Gradient checkpointing of any denoiser: its blocks recompute their activations."""

from typing import Any

import torch

BLOCK_LISTS = ("blocks", "down_blocks", "up_blocks")


def recompute_blocks(network: torch.nn.Module) -> None:
    """Let every block of a U-Net or DiT recompute its activations in the backward pass.

    The blocks' ``forward`` is wrapped; names and weights stay as they are.
    """
    for module in list(network.modules()):
        for name in BLOCK_LISTS:
            blocks = getattr(module, name, None)
            if isinstance(blocks, torch.nn.ModuleList):
                for block in blocks:
                    _wrap(block)


def _wrap(block: Any) -> None:
    from torch.utils.checkpoint import checkpoint

    if hasattr(block, "recomputed"):
        return
    inner = block.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not (torch.is_grad_enabled() and block.training):
            return inner(*args, **kwargs)
        return checkpoint(inner, *args, use_reentrant=False, **kwargs)

    block.forward = forward
    block.recomputed = True
