"""LDM: MONAI's autoencoder (KL or VQ) and diffusion U-Net, in 2D, 3D and for cine.

Model tensors are (B, frames, spatial). The frames of a cine are encoded one by one and their
latents stacked as channels, so that the U-Net denoises all frames jointly (the 3D+t U-Net that
CardioDiT is compared with). Masks enter as further input channels, averaged over each latent
voxel, or through a ControlNet on the frozen U-Net.

Source: Rombach et al. 2022; Pinaya et al. 2022 (brain LDM); MONAI.
"""

import math
from typing import Any, Literal

import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet
from pydantic import Field

from audit.errors import BadInput
from generators.family import Family
from generators.grid import Shape
from generators.latent import LatentModel
from generators.latent_generator import LatentGenerator
from generators.networks.unet import ControlNet, ControlNetConfig
from generators.networks.vqgan import VQGAN, VQGANConfig
from generators.recipe import Settings
from generators.schedules import ScheduleConfig, build_schedule
from generators.windows import windowed


class KL(Settings):
    """MONAI's AutoencoderKL."""

    kind: Literal["kl"] = "kl"
    latent_channels: int = 4
    channels: tuple[int, ...] = (32, 64, 64)
    num_res_blocks: tuple[int, ...] | int = 1
    norm_num_groups: int = 16
    norm_eps: float = 1e-6
    attention_levels: tuple[bool, ...] = (False, False, False)
    with_encoder_nonlocal_attn: bool = False
    with_decoder_nonlocal_attn: bool = False

    @property
    def factor(self) -> int:
        """Downsampling per axis."""
        return int(2 ** (len(self.channels) - 1))

    def network(self, spatial_dims: int) -> torch.nn.Module:
        """With random weights."""
        settings = self.model_dump(exclude={"kind"})
        return AutoencoderKL(spatial_dims=spatial_dims, in_channels=1, out_channels=1, **settings)


class VQ(Settings):
    """MONAI's VQ-VAE around a codebook that fits in memory; every level halves the grid."""

    kind: Literal["vq"] = "vq"
    channels: tuple[int, ...] = (64, 128)
    num_res_layers: int = 2
    num_res_channels: tuple[int, ...] = (64, 128)
    num_embeddings: int = 1024
    embedding_dim: int = 8
    decay: float = 0.99
    commitment_cost: float = 0.25

    @property
    def factor(self) -> int:
        """Downsampling per axis."""
        return int(2 ** len(self.channels))

    @property
    def latent_channels(self) -> int:
        """Channels of the latent."""
        return self.embedding_dim

    def network(self, spatial_dims: int) -> torch.nn.Module:
        """With random weights."""
        levels = len(self.channels)
        settings = self.model_dump(exclude={"kind", "channels"})
        return VQGAN(
            VQGANConfig(
                spatial_dims=spatial_dims,
                num_channels=self.channels,
                downsample_parameters=((2, 4, 1, 1),) * levels,
                upsample_parameters=((2, 4, 1, 1, 0),) * levels,
                **settings,
            )
        )


class UNet(Settings):
    """MONAI's DiffusionModelUNet."""

    channels: tuple[int, ...] = (64, 128)
    num_res_blocks: tuple[int, ...] | int = 1
    attention_levels: tuple[bool, ...] = (False, True)
    num_head_channels: tuple[int, ...] | int = 32
    norm_num_groups: int = 16
    norm_eps: float = 1e-6
    resblock_updown: bool = False
    num_class_embeds: int | None = None
    with_conditioning: bool = False
    cross_attention_dim: int | None = None
    transformer_num_layers: int = 1
    upcast_attention: bool = False
    use_flash_attention: bool = True


class LdmConfig(Settings):
    """Configuration of an LDM.

    Attributes:
        spatial_dims: 2 for single slices, 3 for volumes; from the cohort where not given.
        frames: Frames of a cine; from the cohort where not given.
        condition_channels: Mask channels; from ``data.structures``.
        condition_by: Masks as further channels of the U-Net, or a ControlNet on the frozen U-Net.
        stage1: Autoencoder.
        unet: Denoiser.
        scheduler: Noise schedule, in the names of the official YAML files.
    """

    spatial_dims: Literal[2, 3] = 3
    frames: int = Field(1, ge=1)
    condition_channels: int = Field(0, ge=0)
    condition_by: Literal["concatenation", "controlnet"] = "concatenation"
    stage1: KL | VQ = Field(default_factory=VQ, discriminator="kind")
    unet: UNet = UNet()
    scheduler: ScheduleConfig = ScheduleConfig(
        schedule="cosine", num_train_timesteps=300, prediction_type="v_prediction"
    )

    @property
    def concatenates(self) -> bool:
        """Whether masks are input channels of the U-Net."""
        return self.condition_channels > 0 and self.condition_by == "concatenation"


class FrameAutoencoder(torch.nn.Module):
    """MONAI's autoencoder, applied to each frame; latents of all frames stacked as channels.

    Attributes:
        network: AutoencoderKL or VQVAE.
        frames: Frames of an image.
        factor: Voxels of the image that one of the latent covers, per axis.
    """

    def __init__(self, config: LdmConfig) -> None:
        super().__init__()
        self.network: Any = config.stage1.network(config.spatial_dims)
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
            latents = self._apart(views, memory_gb, "encode")
        else:
            latents = self.network.encode(views, memory_gb)
        return latents.reshape(len(image), -1, *latents.shape[2:])

    def decode(self, latent: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """(B, frames * C, smaller spatial) to (B, frames, spatial); VQ quantizes first."""
        views = latent.reshape(len(latent) * self.frames, -1, *latent.shape[2:])
        if isinstance(self.network, AutoencoderKL):
            images = self._apart(views, memory_gb, "decode")
        else:
            images = self.network.decode(views, memory_gb)
        return images.reshape(len(latent), self.frames, *images.shape[2:])

    def _apart(
        self, views: torch.Tensor, memory_gb: float | None, direction: Literal["encode", "decode"]
    ) -> torch.Tensor:
        """A KL network on all frames at once, or one by one under a limit."""
        encodes = direction == "encode"

        def run(part: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = (
                self.network.encode(part)[0] if encodes else self.network.decode(part)
            )
            return made

        if memory_gb is None:
            return run(views)
        part = self.network.encoder if encodes else self.network.decoder
        multiple = self.factor[0] if encodes else 1
        made = [
            windowed(run, part, view, memory_gb=memory_gb, multiple=multiple)
            for view in views.split(1)
        ]
        return torch.cat(made)

    def forward(self, views: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(reconstruction, codebook loss) of single frames (B, 1, spatial)."""
        return self.network(views)


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
    """Grid sizes that autoencoder and U-Net halve without a remainder."""
    factor = config.stage1.factor * 2 ** (len(config.unet.channels) - 1)
    return 1, factor, factor, factor


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
