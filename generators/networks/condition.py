"""Mask to feature map: the convolution stack that TGCA and MedLoRD's ControlNet share.

No normalization, so it can be computed in exact tiles (``generators.tiles``).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional


def _convolution(inputs: int, outputs: int, stride: int) -> Convolution:
    return Convolution(3, inputs, outputs, strides=stride, kernel_size=3, padding=1, conv_only=True)


class ConditionEmbedder(nn.Module):
    """Masks (B, K, spatial) to features, each channel step halving the grid.

    Args:
        inputs: Mask channels K.
        outputs: Feature channels.
        channels: Widths; every one but the first follows a stride of 2.
        stride: Stride of the first convolution.
        bare_output: Whether the last convolution's keys lack ``.conv`` (ControlNet's do).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: Sequence[int],
        *,
        stride: int = 1,
        bare_output: bool = False,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.conv_in = _convolution(inputs, channels[0], stride)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(channels):
            self.blocks += [_convolution(narrow, narrow, 1), _convolution(narrow, wide, 2)]
        last = _convolution(channels[-1], outputs, 1)
        for parameter in last.parameters():  # training starts from the unconditional model
            nn.init.zeros_(parameter)
        self.conv_out: nn.Module = last.conv if bare_output else last

    def forward(self, masks: torch.Tensor) -> torch.Tensor:
        """(B, K, spatial) to (B, outputs, smaller spatial)."""
        features = functional.silu(self.conv_in(masks), inplace=not self.training)
        for block in self.blocks:
            features = functional.silu(block(features), inplace=not self.training)
        return self.conv_out(features)
