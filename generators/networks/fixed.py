"""A layer's weight that is counted or given, never trained by an optimizer."""

import torch
from torch import nn


class Fixed(nn.Module):
    """Holds ``weight`` as a buffer under the key that a layer's parameter would have."""

    weight: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
