"""LDM: MONAI's autoencoder (KL or VQ) and diffusion U-Net, in 2D, 3D and for cine.

Model tensors are (B, frames, spatial). The frames of a cine are encoded one by one and their
latents stacked as channels, so that the U-Net denoises all frames jointly (the 3D+t U-Net that
CardioDiT is compared with). Masks enter as further input channels, averaged over each latent
voxel, or through a ControlNet on the frozen U-Net.

Source: Rombach et al. 2022; Pinaya et al. 2022 (brain LDM); MONAI.
"""

import math
from typing import Any

import torch
from monai.networks.nets import DiffusionModelUNet

from audit.errors import BadInput
from generators.family import Family
from generators.grid import Shape
from generators.latent import LatentModel
from generators.latent_generator import LatentGenerator
from generators.networks.frames import FrameAutoencoder
from generators.networks.ldm_config import LdmConfig
from generators.networks.unet import ControlNet, ControlNetConfig
from generators.schedules import build_schedule


class Denoiser(torch.nn.Module):
    """MONAI's U-Net; ``control`` is what the adapter made of the mask.

    Attributes:
        extra: Input channels beside the latent's.
    """

    def __init__(self, config: LdmConfig) -> None:
        super().__init__()
        latent = config.stage1.latent_channels * config.frames
        self.extra = config.condition_channels * config.frames if config.concatenates else 0
        self.classes = config.unet.num_class_embeds
        self.net = DiffusionModelUNet(
            spatial_dims=config.spatial_dims,
            in_channels=latent + self.extra,
            out_channels=latent,
            **config.unet.model_dump(),
        )

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,
        control: Any = None,
    ) -> torch.Tensor:
        """Predict from a noisy latent (B, C, spatial) at ``timesteps`` (B,)."""
        labels = labels if self.classes else None
        if self.extra:
            empty = (len(noisy), self.extra, *noisy.shape[2:])
            masks = control if control is not None else noisy.new_zeros(empty)
            noisy, control = torch.cat([noisy, masks], dim=1), None
        down, middle = control if control is not None else (None, None)
        return self.net(
            noisy,
            timesteps,
            class_labels=labels,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        )


class Occupancy(torch.nn.Module):
    """Mask as input channels: the share of each latent voxel that it fills.

    Attributes:
        inputs: Mask channels times frames.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inputs = inputs

    @property
    def embedder(self) -> "Occupancy":
        """Itself: masks need no convolutions."""
        return self

    def forward(self, *inputs: Any) -> torch.Tensor:
        """As embedder: the masks. As adapter: what the U-Net concatenates."""
        if len(inputs) == 1:
            return inputs[0]
        _, embedded, _, _, _, strength = inputs
        return embedded * strength

    def embed(self, masks: torch.Tensor, grid: tuple[int, ...]) -> torch.Tensor:
        """Average over the voxels of each latent voxel."""
        functional = torch.nn.functional
        pool = functional.adaptive_avg_pool2d if len(grid) == 2 else functional.adaptive_avg_pool3d
        return pool(masks, grid)  # type: ignore[arg-type]


class Ldm(LatentModel):
    """First stage, U-Net and, for masks, what brings them in."""

    def __init__(self, config: LdmConfig) -> None:
        super().__init__(
            stage1=FrameAutoencoder(config),
            denoiser=Denoiser(config),
            schedule=build_schedule(config.scheduler),
            adapter=_adapter(config),
        )
        self.denoiser_takes_condition = config.concatenates

    def embed_condition(self, condition: torch.Tensor, grid: tuple[int, ...]) -> Any:
        """As in ``LatentModel``; concatenated masks have no weights to ask for a dtype."""
        if not self.denoiser_takes_condition:
            return super().embed_condition(condition, grid)
        if condition.shape[1] != self.adapter.inputs:
            raise BadInput(
                f"a condition of {condition.shape[1]} channels",
                f"{self.adapter.inputs} (mask channels times frames)",
                "Give the structures and frames the generator was trained with",
            )
        return self.adapter.embed(condition, grid)


def _adapter(config: LdmConfig) -> torch.nn.Module | None:
    if config.concatenates:
        return Occupancy(config.condition_channels * config.frames)
    if not config.condition_channels:
        return None
    halvings = config.stage1.factor.bit_length() - 1
    unet = config.unet
    return ControlNet(
        ControlNetConfig(
            spatial_dims=config.spatial_dims,
            in_channels=config.stage1.latent_channels * config.frames,
            num_channels=unet.channels,
            num_res_blocks=unet.num_res_blocks,
            attention_levels=unet.attention_levels,
            num_head_channels=unet.num_head_channels,
            norm_num_groups=unet.norm_num_groups,
            norm_eps=unet.norm_eps,
            resblock_updown=unet.resblock_updown,
            num_class_embeds=unet.num_class_embeds,
            r=1.0,
            conditioning_embedding_in_channels=config.condition_channels * config.frames,
            conditioning_embedding_num_channels=tuple(8 * 2**i for i in range(halvings + 1)),
            initial_stride=1,
        )
    )


def build(config: LdmConfig) -> Ldm:
    """An LDM with random weights."""
    return Ldm(config)


def fitted(config: LdmConfig, shape: Shape, masks: int, classes: int) -> LdmConfig:
    """The configuration for a grid, mask channels and classes."""
    if masks and shape[1] == 1 and config.condition_by == "controlnet":
        raise BadInput(
            "a ControlNet for single slices", "volumes", "Use condition_by: concatenation"
        )
    unet = config.unet
    if classes:
        unet = unet.model_copy(update={"num_class_embeds": classes})
    return config.model_copy(
        update={
            "frames": shape[0],
            "spatial_dims": 2 if shape[1] == 1 else 3,
            "condition_channels": masks,
            "unet": unet,
        }
    )


def multiple(config: LdmConfig) -> Shape:
    """Grid sizes that autoencoder and U-Net halve without a remainder.

    With ``spatial_dims: 2`` a single slice stays one; else it is padded to a volume.
    """
    factor = config.stage1.factor * 2 ** (len(config.unet.channels) - 1)
    return 1, factor if config.spatial_dims == 3 else 1, factor, factor


def to_model(tensor: torch.Tensor) -> torch.Tensor:
    """(b, c, t, z, y, x) to (b, c * t, z, y, x), or (b, c * t, y, x) for a single slice."""
    flat = tensor.flatten(1, 2)
    return flat[:, :, 0] if flat.shape[2] == 1 else flat


def from_model(tensor: torch.Tensor) -> torch.Tensor:
    """(b, t, z, y, x) or (b, t, y, x) to (b, 1, t, z, y, x)."""
    return (tensor[:, :, None] if tensor.ndim == 4 else tensor)[:, None]


def frame_views(images: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:
    """One random frame per image: (b, t, spatial) to (b, 1, spatial)."""
    chosen = [math.floor(float(p) * images.shape[1]) for p in picks]
    return torch.stack([image[i] for image, i in zip(images, chosen, strict=True)])[:, None]


class LDM(LatentGenerator):
    """Latent diffusion with MONAI's networks."""

    family = Family(
        name="ldm",
        config=LdmConfig,
        build=build,
        fitted=fitted,
        to_model=to_model,
        from_model=from_model,
        stage1_views=frame_views,
        multiple=multiple,
    )


MODEL = LDM
