"""Sizes of an LDM's networks, in MONAI's names."""

from typing import Literal

from pydantic import Field

from generators.recipe import Settings
from generators.schedules import ScheduleConfig


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
