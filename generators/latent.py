"""LatentModel: first stage, denoiser, optional adapter and schedule of one latent diffusion model.

Tensors are in the official order of the family: voldit and medlord (B, 1, H, W, D); cardiodit
(B, 1, H, W, D, T) whose latent is (B, C, D, h, w, t); ldm (B, 1, spatial). The classes under
``generators/models`` translate from and to the suite's ``c t z y x``.
"""

from typing import Any

import torch


class LatentModel(torch.nn.Module):
    """What all four families share once they are built.

    Attributes:
        stage1: First stage; the family's file wraps it so that ``encode``/``decode`` fit.
        denoiser: Predicts epsilon, sample or velocity from (noisy, timesteps, ...).
        adapter: TGCA or ControlNet; None for an unconditional model.
        schedule: Noise schedule and prediction type.
        scale_factor: The denoiser sees ``latent * scale_factor``.
    """

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Image to (unscaled) latent."""
        raise NotImplementedError

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Unscaled latent to image; a VQ model quantizes first, as the official code does."""
        raise NotImplementedError

    def denoise(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,
        condition: torch.Tensor | None = None,
        conditioning_scale: float = 1.0,
    ) -> torch.Tensor:
        """The denoiser's prediction; ``condition`` is (B, K, spatial) at image resolution."""
        raise NotImplementedError

    def sample_latent(self, noise: torch.Tensor, *, steps: int, **options: Any) -> torch.Tensor:
        """Integrate from noise to a latent, still scaled."""
        raise NotImplementedError
