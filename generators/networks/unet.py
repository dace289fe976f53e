"""MedLoRD's U-Net and ControlNet: MONAI's, with the three differences of the official code.

No activation before the last convolution; self-attention whose output projection is stored but
never applied (here: left out); a ControlNet of its own width whose zero-convolutions map back to
the U-Net's widths.
"""

from typing import Any

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets.diffusion_model_unet import (
    DiffusionModelUNet,
    get_down_block,
    get_mid_block,
    get_timestep_embedding,
)
from pydantic import Field, model_validator
from torch import nn

from audit.errors import BadInput
from audit.result import Record
from generators.networks.condition import ConditionEmbedder
from generators.networks.levels import refuse_other_levels


class _LevelConfig(Record):
    """What U-Net and ControlNet have in common."""

    spatial_dims: int = Field(3, ge=2, le=3)
    in_channels: int = Field(ge=1)
    num_channels: tuple[int, ...] = (32, 64, 64, 64)
    num_res_blocks: tuple[int, ...] | int = 2
    attention_levels: tuple[bool, ...] = (False, False, True, True)
    norm_num_groups: int = Field(32, ge=1)
    norm_eps: float = 1e-6
    resblock_updown: bool = False
    num_head_channels: tuple[int, ...] | int = 8
    with_conditioning: bool = False
    transformer_num_layers: int = 1
    cross_attention_dim: int | None = None
    num_class_embeds: int | None = None
    upcast_attention: bool = False
    use_flash_attention: bool = True

    @model_validator(mode="after")
    def _levels(self) -> "_LevelConfig":
        refuse_other_levels(self, ("attention_levels", "num_res_blocks", "num_head_channels"))
        return self

    @property
    def per_level(self) -> list[dict[str, Any]]:
        """Arguments that depend on the level."""
        levels = len(self.num_channels)
        blocks, heads = self.num_res_blocks, self.num_head_channels
        blocks = (blocks,) * levels if isinstance(blocks, int) else blocks
        heads = (heads,) * levels if isinstance(heads, int) else heads
        return [
            {
                "num_res_blocks": blocks[i],
                "num_head_channels": heads[i],
                "with_attn": self.attention_levels[i] and not self.with_conditioning,
                "with_cross_attn": self.attention_levels[i] and self.with_conditioning,
            }
            for i in range(levels)
        ]


class UNetConfig(_LevelConfig):
    """``model.params`` (or ``ldm.params``) of an official YAML; names as in MONAI generative."""

    out_channels: int = Field(ge=1)
    dropout_cattn: float = 0.0

    @model_validator(mode="after")
    def _groups(self) -> "UNetConfig":
        if any(c % self.norm_num_groups for c in self.num_channels):
            raise ValueError(
                f"num_channels {list(self.num_channels)} do not divide by norm_num_groups "
                f"{self.norm_num_groups}"
            )
        return self


class ControlNetConfig(_LevelConfig):
    """``controlnet.params`` of an official YAML.

    Attributes:
        r: The ControlNet's widths over the U-Net's.
        conditioning_embedding_in_channels: Mask channels K.
        conditioning_embedding_num_channels: Widths of the mask's convolutions.
        initial_stride: Stride of the first of them.
    """

    r: float = Field(0.25, gt=0)
    conditioning_embedding_in_channels: int = Field(1, ge=1)
    conditioning_embedding_num_channels: tuple[int, ...] = (16, 32, 96, 256)
    initial_stride: int = Field(2, ge=1)

    @property
    def widths(self) -> tuple[int, ...]:
        """The ControlNet's own widths."""
        return tuple(max(1, int(c * self.r)) for c in self.num_channels)

    @model_validator(mode="after")
    def _groups(self) -> "ControlNetConfig":
        if any(c % self.norm_num_groups for c in self.widths):
            raise ValueError(
                f"widths {list(self.widths)} (num_channels times r) do not divide by "
                f"norm_num_groups {self.norm_num_groups}"
            )
        return self


Residuals = tuple[list[torch.Tensor], torch.Tensor]


class UNet(nn.Module):
    """MONAI's U-Net as a denoiser; keys are MONAI's under ``net``."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        options = config.model_dump(exclude={"num_channels", "use_flash_attention"})
        self.net = DiffusionModelUNet(
            channels=config.num_channels,
            include_fc=config.with_conditioning,
            use_flash_attention=not config.upcast_attention,
            **options,
        )
        self.net.out[1] = nn.Identity()

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,
        control: Residuals | None = None,
    ) -> torch.Tensor:
        """Predict from a noisy latent (B, C, spatial) at ``timesteps`` (B,).

        Raises:
            BadInput: Channels or sizes that the levels cannot halve.
        """
        halvings = 2 ** (len(self.config.num_channels) - 1)
        if noisy.shape[1] != self.config.in_channels or any(n % halvings for n in noisy.shape[2:]):
            raise BadInput(
                f"latent of shape {tuple(noisy.shape[1:])}",
                f"{self.config.in_channels} channels and sizes that divide by {halvings}",
                "Crop or pad the volumes",
            )
        _refuse_missing(labels, self.config.num_class_embeds)
        down, middle = control if control is not None else (None, None)
        return self.net(
            noisy,
            timesteps,
            class_labels=labels if self.config.num_class_embeds else None,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        )


class ControlNet(nn.Module):
    """Residuals for a U-Net from a mask; the mask's embedding is computed apart, once."""

    resizes = False  # whether masks of any size are brought to the latent's grid

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.conv_in = Convolution(
            config.spatial_dims, config.in_channels, widths[0], strides=1, kernel_size=3,
            padding=1, conv_only=True,
        )  # fmt: skip
        time = widths[0] * 4
        self.time_embed = nn.Sequential(
            nn.Linear(widths[0], time), nn.SiLU(), nn.Linear(time, time)
        )
        if config.num_class_embeds:
            self.class_embedding = nn.Embedding(config.num_class_embeds, time)
        self.controlnet_cond_embedding = ConditionEmbedder(
            config.conditioning_embedding_in_channels,
            widths[0],
            config.conditioning_embedding_num_channels,
            stride=config.initial_stride,
            bare_output=True,
        )
        self.down_blocks = nn.ModuleList()
        self.controlnet_down_blocks = nn.ModuleList([self._zero(0, widths[0])])
        for i, level in enumerate(config.per_level):
            last = i == len(widths) - 1
            self.down_blocks.append(
                get_down_block(
                    in_channels=widths[max(i - 1, 0)],
                    out_channels=widths[i],
                    resblock_updown=config.resblock_updown,
                    add_downsample=not last,
                    **level,
                    **self._shared(time),
                )
            )
            for _ in range(level["num_res_blocks"] + (not last)):
                self.controlnet_down_blocks.append(self._zero(i, widths[i]))
        self.middle_block = get_mid_block(
            in_channels=widths[-1],
            with_conditioning=config.with_conditioning,
            num_head_channels=config.per_level[-1]["num_head_channels"],
            **self._shared(time),
        )
        self.controlnet_mid_block = self._zero(-1, widths[-1])

    @property
    def embedder(self) -> ConditionEmbedder:
        """The convolutions that every mask goes through once."""
        return self.controlnet_cond_embedding

    def embed(self, features: torch.Tensor, grid: tuple[int, ...]) -> torch.Tensor:
        """Features of the mask as they are, if they lie on the latent's grid.

        Raises:
            BadInput: They do not.
        """
        if tuple(features.shape[2:]) != grid:
            raise BadInput(
                f"the mask comes out at {tuple(features.shape[2:])} for a latent of {grid}",
                "the same grid",
                "Give the mask at image resolution, or correct initial_stride and "
                "conditioning_embedding_num_channels",
            )
        return features

    def forward(
        self,
        base: nn.Module,  # noqa: ARG002
        features: torch.Tensor,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,
        strength: float = 1.0,
    ) -> Residuals:
        """Residuals (down, middle) for the U-Net.

        Args:
            base: The U-Net; it plays no part.
            features: The mask's embedding, from ``embed``.
            noisy: (B, C, spatial).
            timesteps: (B,).
            labels: Class of each sample, where the network has classes.
            strength: Multiplies all residuals.
        """
        time = get_timestep_embedding(timesteps, self.config.widths[0]).to(noisy.dtype)
        context = self.time_embed(time)
        if self.config.num_class_embeds:
            _refuse_missing(labels, self.config.num_class_embeds)
            context = context + self.class_embedding(labels)
        hidden = self.conv_in(noisy) + features
        outputs = [hidden]
        for block in self.down_blocks:
            hidden, residuals = block(hidden_states=hidden, temb=context, context=None)
            outputs += residuals
        hidden = self.middle_block(hidden_states=hidden, temb=context, context=None)
        down = [
            zero(output) * strength
            for zero, output in zip(self.controlnet_down_blocks, outputs, strict=True)
        ]
        return down, self.controlnet_mid_block(hidden) * strength

    def _shared(self, time: int) -> dict[str, Any]:
        return {
            "spatial_dims": self.config.spatial_dims,
            "temb_channels": time,
            "norm_num_groups": self.config.norm_num_groups,
            "norm_eps": self.config.norm_eps,
            "transformer_num_layers": self.config.transformer_num_layers,
            "cross_attention_dim": self.config.cross_attention_dim,
            "upcast_attention": self.config.upcast_attention,
            "include_fc": self.config.with_conditioning,
            "use_flash_attention": not self.config.upcast_attention,
        }

    def _zero(self, level: int, width: int) -> nn.Module:
        """A 1×1 convolution from the ControlNet's width to the U-Net's that starts at zero."""
        kind = nn.Conv3d if self.config.spatial_dims == 3 else nn.Conv2d
        convolution = kind(width, self.config.num_channels[level], 1)
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        return convolution


def _refuse_missing(labels: torch.Tensor | None, classes: int | None) -> None:
    if classes and labels is None:
        raise BadInput(f"no labels for a network with {classes} classes", "one per sample")
