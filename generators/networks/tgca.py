"""Timestep-gated control adapter of VolDiT: a mask steers a frozen DiT.

The mask's tokens times one gate of the time step times one learned scale a block are
layer-normalized and added to what attention sees. That normalization divides by the tokens' own
standard deviation, so gate and scale cancel out up to its epsilon (1e-6): they matter only where
tokens are nearly constant. It is reproduced as it is published.
"""

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from audit.errors import BadInput
from audit.result import Record
from generators.networks.condition import ConditionEmbedder
from generators.networks.dit import DiT

CHANNELS = (8, 16, 32, 64, 128)
EPSILON = 1e-6


class TGCAConfig(Record):
    """``tgca.params`` of an official YAML.

    Attributes:
        condition_channels: Mask channels K.
        inject_layers: Blocks that get the control: None for all, N for the last N, or a list.
        finetune_last_n_blocks: Blocks of the base that are trained with the adapter.
        condition_dropout_prob: Share of training steps without any mask; the training loop acts on
            its own setting.
    """

    condition_channels: int = Field(1, ge=1)
    inject_layers: int | tuple[int, ...] | None = None
    finetune_last_n_blocks: int = Field(0, ge=0)
    condition_dropout_prob: float = Field(0.1, ge=0, le=1)

    def layers(self, depth: int) -> list[int]:
        """Indices of the blocks that get the control."""
        if self.inject_layers is None:
            return list(range(depth))
        chosen = (
            list(range(depth - self.inject_layers, depth))
            if isinstance(self.inject_layers, int)
            else list(self.inject_layers)
        )
        if any(not 0 <= i < depth for i in chosen):
            raise BadInput(
                f"inject_layers {self.inject_layers} for {depth} blocks", f"within 0 to {depth - 1}"
            )
        return chosen


@dataclass(frozen=True, kw_only=True)
class TokenControl:
    """Mask tokens with what layer normalization needs of them, computed once per sample.

    Attributes:
        centered: (B, tokens, hidden), mean over hidden removed.
        variance: (B, tokens, 1).
    """

    centered: torch.Tensor
    variance: torch.Tensor


class TGCA(nn.Module):
    """The adapter without its base.

    Args:
        config: Its options.
        depth: Blocks of the base.
        hidden: Width of the base.
        grid: Tokens per axis of the base.
    """

    resizes = True  # whether masks of any size are brought to the latent's grid

    def __init__(
        self, config: TGCAConfig, *, depth: int, hidden: int, grid: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.config, self.grid = config, grid
        self.layers = config.layers(depth)
        self.adapter_scales = nn.ParameterList(
            nn.Parameter(torch.full((1,), 0.1)) for _ in self.layers
        )
        self.condition_embedder = ConditionEmbedder(config.condition_channels, hidden, CHANNELS)
        self.time_gate = nn.Linear(hidden, 1)
        nn.init.zeros_(self.time_gate.weight)
        nn.init.zeros_(self.time_gate.bias)

    @property
    def embedder(self) -> ConditionEmbedder:
        """The convolutions that every mask goes through once."""
        return self.condition_embedder

    def embed(self, features: torch.Tensor, grid: tuple[int, ...]) -> TokenControl:  # noqa: ARG002
        """Features of the mask, as ``embedder`` gives them, to tokens."""
        if tuple(features.shape[2:]) != self.grid:
            features = functional.interpolate(
                features.float(), size=self.grid, mode="trilinear", align_corners=False
            ).to(features.dtype)
        tokens = features.flatten(2).transpose(1, 2)
        centered = tokens - tokens.mean(-1, keepdim=True)
        return TokenControl(
            centered=centered, variance=centered.float().square().mean(-1, keepdim=True)
        )

    def forward(
        self,
        base: DiT,
        embedded: TokenControl,
        noisy: torch.Tensor,  # noqa: ARG002
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,  # noqa: ARG002
        strength: float = 1.0,
    ) -> "GatedControl":
        """What is added in each block at these time steps (B,); the latent plays no part."""
        gate = torch.sigmoid(self.time_gate(base.t_embedder(timesteps)))[:, None]
        return GatedControl(self, embedded, gate, strength)


@dataclass(frozen=True)
class GatedControl:
    """Control by block; LN(a v) = a (v - mean) / sqrt(a² var + ε) without a pass over v."""

    adapter: TGCA
    tokens: TokenControl
    gate: torch.Tensor
    strength: float

    def __call__(self, block: int) -> torch.Tensor | None:
        """(B, tokens, hidden), or None where the block gets no control."""
        if block not in self.adapter.layers:
            return None
        scale = self.adapter.adapter_scales[self.adapter.layers.index(block)]
        amount = (self.gate * scale).float()
        factor = amount / torch.sqrt(amount**2 * self.tokens.variance + EPSILON) * self.strength
        return self.tokens.centered * factor.to(self.tokens.centered.dtype)
