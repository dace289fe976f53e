"""An LDM's first stage: MONAI's autoencoder (KL), or a VQ-GAN, on each frame of a cine."""

from typing import Any

import torch
from monai.networks.nets import AutoencoderKL

from generators.networks.ldm_config import KL, VQ, LdmConfig
from generators.networks.vqgan import VQGAN, VQGANConfig
from generators.windows import kl_pass


class FrameAutoencoder(torch.nn.Module):
    """MONAI's autoencoder, applied to each frame; latents of all frames stacked as channels.

    Attributes:
        network: AutoencoderKL or VQVAE.
        frames: Frames of an image.
        factor: Voxels of the image that one of the latent covers, per axis.
    """

    def __init__(self, config: LdmConfig) -> None:
        super().__init__()
        self.network: Any = autoencoder(config.stage1, config.spatial_dims)
        self.frames = config.frames
        self.factor = (config.stage1.factor,) * config.spatial_dims

    def encode(self, image: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """(B, frames, spatial) to (B, frames * C, smaller spatial), quantized or the KL mean.

        Args:
            image: Frames as channels.
            memory_gb: Limit that a VQ network keeps by exact tiles; a KL one normalizes over the
                volume, so it takes one frame at a time, in approximate windows where one frame
                does not fit.
        """
        views = image.flatten(0, 1)[:, None]
        if isinstance(self.network, AutoencoderKL):
            latents = kl_pass(self.network, views, memory_gb, encodes=True)
        else:
            latents = self.network.encode(views, memory_gb)
        return latents.reshape(len(image), -1, *latents.shape[2:])

    def decode(self, latent: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """(B, frames * C, smaller spatial) to (B, frames, spatial); VQ quantizes first."""
        views = latent.reshape(len(latent) * self.frames, -1, *latent.shape[2:])
        if isinstance(self.network, AutoencoderKL):
            images = kl_pass(self.network, views, memory_gb, encodes=False)
        else:
            images = self.network.decode(views, memory_gb)
        return images.reshape(len(latent), self.frames, *images.shape[2:])

    def forward(self, views: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(reconstruction, codebook loss) of single frames (B, 1, spatial)."""
        return self.network(views)


def autoencoder(config: KL | VQ, spatial_dims: int) -> torch.nn.Module:
    """AutoencoderKL or VQGAN with random weights, for images of one channel."""
    if isinstance(config, KL):
        settings = config.model_dump(exclude={"kind"})
        return AutoencoderKL(spatial_dims=spatial_dims, in_channels=1, out_channels=1, **settings)
    levels = len(config.channels)
    return VQGAN(
        VQGANConfig(
            spatial_dims=spatial_dims,
            num_channels=config.channels,
            downsample_parameters=((2, 4, 1, 1),) * levels,
            upsample_parameters=((2, 4, 1, 1, 0),) * levels,
            **config.model_dump(exclude={"kind", "channels"}),
        )
    )
