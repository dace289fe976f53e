"""First stage of CardioDiT: a 2D+t network applied to every z-slice of a cine volume."""

import torch
from torch import nn

from generators.networks.vqgan import VQGAN


class SliceStage(nn.Module):
    """(B, 1, H, W, D, T) to (B, C, D, h, w, t) and back, one slice at a time.

    Attributes:
        vqgan: Works on (B, 1, H, W, T).
        factor: Voxels of the image that one of the latent covers, along (H, W, D, T).
    """

    def __init__(self, vqgan: VQGAN) -> None:
        super().__init__()
        self.vqgan = vqgan
        height, width, time = vqgan.factor
        self.factor = (height, width, 1, time)

    def encode(self, image: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Image to quantized latent; ``memory_gb`` is the limit for one slice."""
        return torch.stack([self.vqgan.encode(s, memory_gb) for s in image.unbind(4)], dim=2)

    def decode(self, latent: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Latent to image; quantizes first; ``memory_gb`` is the limit for one slice."""
        return torch.stack([self.vqgan.decode(s, memory_gb) for s in latent.unbind(2)], dim=4)

    def forward(self, slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(reconstruction, commitment loss) of slices (B, 1, H, W, T), for training."""
        return self.vqgan(slices)
