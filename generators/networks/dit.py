"""Diffusion transformer (Peebles and Xie 2023) for 3D and 4D latents, in the official key layout.

The grid of the latent is (x, y, z) for VolDiT and (z, x, y, t) for CardioDiT; nothing here depends
on which. Patches may be anisotropic.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from audit.errors import BadInput
from audit.result import Record
from generators.networks.fixed import Fixed

BlockControl = Callable[[int], torch.Tensor | None]
Size = Annotated[int, Field(ge=1)]
FREQUENCIES = 256


class DiTConfig(Record):
    """``dit.params`` of an official YAML.

    Attributes:
        input_size: Latent grid, 3 sizes for VolDiT and 4 (z, h, w, t) for CardioDiT; None until
            it is known from the cohort.
        patch_size: Patch edge per axis; one number stands for all axes.
        in_channels: Latent channels.
        hidden_size: Width.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of a block's MLP over ``hidden_size``.
        class_dropout_prob: Share of labels replaced by the null class in training.
        num_classes: Classes; 0 for none.
        learn_sigma: Whether the variance is predicted too, which doubles the output channels.
        flash_attention: Accepted for the official files; attention is fused wherever torch can.
        attn_drop: Dropout of attention weights and projection in training; the official code has
            0.1 in VolDiT and 0 in CardioDiT, which None stands for.
        mlp_drop: Dropout in the MLP in training; the same.
    """

    input_size: tuple[Size, ...] | None = Field(None, min_length=3, max_length=4)
    patch_size: Size | tuple[Size, ...]
    in_channels: Size
    hidden_size: Size
    depth: Size
    num_heads: Size
    mlp_ratio: float = Field(4.0, gt=0)
    class_dropout_prob: float = Field(0.0, ge=0, le=1)
    num_classes: int = Field(0, ge=0)
    learn_sigma: bool = False
    flash_attention: bool = True
    attn_drop: float | None = Field(None, ge=0, lt=1)
    mlp_drop: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> "DiTConfig":
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} over {self.num_heads} heads")
        if self.input_size is None:
            return self
        if len(self.patch) != len(self.input_size):
            raise ValueError(f"patch_size {self.patch_size} for input_size {self.input_size}")
        if any(n % p for n, p in zip(self.input_size, self.patch, strict=True)):
            raise ValueError(
                f"input_size {list(self.input_size)} does not divide by patch_size "
                f"{list(self.patch)}; choose a latent size that is a multiple of the patch"
            )
        if len(self.input_size) == 4 and self.hidden_size % 8:
            raise ValueError(f"hidden_size {self.hidden_size} does not divide by 8 (4D positions)")
        return self

    @property
    def latent(self) -> tuple[int, ...]:
        """``input_size``, which a network needs.

        Raises:
            BadInput: It is not known yet.
        """
        if self.input_size is None:
            raise BadInput("a DiT without input_size", "the latent's grid")
        return self.input_size

    @property
    def patch(self) -> tuple[int, ...]:
        """Patch edge of each axis."""
        if isinstance(self.patch_size, int):
            return (self.patch_size,) * len(self.latent)
        return self.patch_size

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens per axis."""
        return tuple(n // p for n, p in zip(self.latent, self.patch, strict=True))

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.in_channels * (2 if self.learn_sigma else 1)

    def dropout(self, given: float | None) -> float:
        """A rate, or the official default for this rank."""
        return given if given is not None else (0.1 if len(self.latent) == 3 else 0.0)


@dataclass(frozen=True, kw_only=True)
class Modulations:
    """AdaLN shifts, scales and gates of all blocks at some time steps, computed once.

    Attributes:
        layers: One tensor (S · U, 6 · hidden) per block, and (S · U, 2 · hidden) for the last
            layer, for S time steps and U different labels.
        labels: U.
        rows: Which of the U labels each sample has, (B,) or (1,).
    """

    layers: list[torch.Tensor]
    labels: int
    rows: torch.Tensor

    def at(self, step: int) -> list[torch.Tensor]:
        """Rows (B or 1, ...) of one time step, by its position in the list of steps."""
        return [layer[step * self.labels + self.rows] for layer in self.layers]


class TimestepEmbedder(nn.Module):
    """Sinusoidal features of the time step through an MLP."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(FREQUENCIES, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )

    def forward(self, timesteps: torch.Tensor) -> torch.Tensor:
        """(B,) to (B, hidden)."""
        half = FREQUENCIES // 2
        steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
        angles = timesteps[:, None].float() * torch.exp(-math.log(10000) * steps / half)
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.mlp(features.to(next(self.parameters()).dtype))


class LabelEmbedder(nn.Module):
    """One vector a class, and one for "no class" where labels are dropped in training."""

    def __init__(self, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        rows = classes + (dropout > 0)
        table = torch.randn(rows, hidden) * 0.02
        self.embedding_table = (
            nn.Embedding(rows, hidden, _weight=table) if classes else Fixed(table)
        )
        self.classes, self.dropout = classes, dropout

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """(B,) to (B, hidden); in training some labels become the null class."""
        if self.training and self.dropout > 0:
            drop = torch.rand(labels.shape, device=labels.device) < self.dropout
            labels = torch.where(drop, self.classes, labels)
        return self.embedding_table(labels)


class PatchEmbed(nn.Module):
    """Cuts the latent into patches and projects each to a token."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.patch = config.patch
        if len(self.patch) == 3:  # the official files hold a convolution in 3D, a matrix in 4D
            self.proj: nn.Module = nn.Conv3d(
                config.in_channels, config.hidden_size, self.patch, self.patch
            )
        else:
            self.proj = nn.Linear(config.in_channels * math.prod(self.patch), config.hidden_size)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """(B, C, grid · patch) to (B, tokens, hidden)."""
        rank = len(self.patch)
        sizes = [s for n, p in zip(latent.shape[2:], self.patch, strict=True) for s in (n // p, p)]
        cut = latent.reshape(*latent.shape[:2], *sizes)
        grid, inner = range(2, 2 + 2 * rank, 2), range(3, 3 + 2 * rank, 2)
        tokens = cut.permute(0, *grid, 1, *inner).flatten(1 + rank).flatten(1, rank)
        weight: torch.Tensor = self.proj.weight  # type: ignore[assignment]
        bias: torch.Tensor = self.proj.bias  # type: ignore[assignment]
        return functional.linear(tokens, weight.flatten(1), bias)


class Attention(nn.Module):
    """Multi-head self-attention of tokens to tokens, fused."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)
        self.heads, self.dropout = heads, dropout

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, tokens, hidden) to the same."""
        batch, count, hidden = tokens.shape
        parts = self.qkv(tokens).view(batch, count, 3, self.heads, hidden // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        out = self.proj(mixed.transpose(1, 2).reshape(batch, count, hidden))
        return functional.dropout(out, self.dropout, self.training)


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, hidden: int, ratio: float, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, int(hidden * ratio))
        self.fc2 = nn.Linear(int(hidden * ratio), hidden)
        self.dropout = dropout

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, tokens, hidden) to the same."""
        inner = functional.dropout(functional.gelu(self.fc1(tokens)), self.dropout, self.training)
        return functional.dropout(self.fc2(inner), self.dropout, self.training)


class Block(nn.Module):
    """Attention and MLP, each modulated by time and label (AdaLN-Zero)."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.attn = Attention(hidden, config.num_heads, config.dropout(config.attn_drop))
        self.mlp = Mlp(hidden, config.mlp_ratio, config.dropout(config.mlp_drop))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))

    def forward(
        self, tokens: torch.Tensor, modulation: torch.Tensor, control: torch.Tensor | None
    ) -> torch.Tensor:
        """One block.

        Args:
            tokens: (B, tokens, hidden).
            modulation: (B or 1, 6 · hidden), the output of ``adaLN_modulation``.
            control: (B, tokens, hidden) added to what attention sees, or None.
        """
        parts = modulation[:, None].chunk(6, dim=-1)
        shift, scale, gate = parts[:3]
        seen = _normalize(tokens) * (1 + scale) + shift
        if control is not None:
            seen = seen + control.to(seen.dtype)
        tokens = tokens + gate * self.attn(seen)
        shift, scale, gate = parts[3:]
        return tokens + gate * self.mlp(_normalize(tokens) * (1 + scale) + shift)


class FinalLayer(nn.Module):
    """Modulated projection of tokens back to patches."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.linear = nn.Linear(hidden, math.prod(config.patch) * config.out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))

    def forward(self, tokens: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
        """(B, tokens, hidden) to (B, tokens, patch · channels)."""
        shift, scale = modulation[:, None].chunk(2, dim=-1)
        return self.linear(_normalize(tokens) * (1 + scale) + shift)


class DiT(nn.Module):
    """The denoiser.

    Attributes:
        config: Its sizes.
        checkpointing: Recompute blocks in the backward pass to save memory.
    """

    pos_embed: torch.Tensor

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        self.x_embedder = PatchEmbed(config)
        self.t_embedder = TimestepEmbedder(config.hidden_size)
        # VolDiT's files hold a label table even without classes; CardioDiT's do not.
        with_table = len(config.grid) == 3 or config.num_classes > 0
        self.y_embedder = (
            LabelEmbedder(config.num_classes, config.hidden_size, config.class_dropout_prob)
            if with_table
            else None
        )
        self.register_buffer("pos_embed", position_encoding(config.hidden_size, config.grid))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config)
        self._initialize()

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,
        control: BlockControl | None = None,
        modulations: Sequence[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Predict from a noisy latent.

        Args:
            noisy: (B, C, input_size).
            timesteps: (B,).
            labels: Class of each sample, (B,), or None.
            control: What an adapter adds to block i.
            modulations: ``Modulations.at(step)`` where they were computed before.

        Returns:
            (B, C or 2 C, input_size).

        Raises:
            BadInput: The latent has another size.
        """
        self._check(noisy)
        if modulations is None:
            modulations = self._modulate(self._embed(timesteps, labels))
        tokens = self.x_embedder(noisy) + self.pos_embed
        for i, block in enumerate(self.blocks):
            added = control(i) if control is not None else None
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, modulations[i], added, use_reentrant=False)
            else:
                tokens = block(tokens, modulations[i], added)
        return self._unpatchify(self.final_layer(tokens, modulations[-1]))

    def modulate_all(
        self, timesteps: Sequence[int], labels: torch.Tensor | None = None
    ) -> Modulations:
        """All that depends on time and label only, for a whole schedule at once."""
        device = self.pos_embed.device
        steps = torch.tensor(list(timesteps), device=device)
        if labels is None or not self.config.num_classes:
            rows, kinds = torch.zeros(1, dtype=torch.int64, device=device), None
            count = 1
        else:
            kinds, rows = torch.unique(labels.to(device), return_inverse=True)
            count = len(kinds)
            kinds, steps = kinds.repeat(len(steps)), steps.repeat_interleave(count)
        layers = self._modulate(self._embed(steps, kinds))
        return Modulations(layers=layers, labels=count, rows=rows)

    def null_labels(self, batch: int) -> torch.Tensor:
        """The "no class" label of classifier-free guidance.

        Raises:
            BadInput: The network never saw it in training.
        """
        if self.config.class_dropout_prob <= 0 or not self.config.num_classes:
            raise BadInput(
                "guidance on a network trained without label dropout",
                "class_dropout_prob above 0 and num_classes above 0",
                "Set guidance to 1",
            )
        return torch.full((batch,), self.config.num_classes, device=self.pos_embed.device)

    def _embed(self, timesteps: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        context = self.t_embedder(timesteps)
        if labels is None or self.y_embedder is None or not self.config.num_classes:
            return context
        allowed = len(self.y_embedder.embedding_table.weight)
        if not self.training and not 0 <= int(labels.min()) <= int(labels.max()) < allowed:
            raise BadInput(
                f"label {int(labels.max())} for {self.config.num_classes} classes",
                f"0 to {self.config.num_classes - 1}",
            )
        return context + self.y_embedder(labels)

    def _modulate(self, context: torch.Tensor) -> list[torch.Tensor]:
        modules = [*self.blocks, self.final_layer]
        return [m.adaLN_modulation(context) for m in modules]

    def _unpatchify(self, tokens: torch.Tensor) -> torch.Tensor:
        grid, patch = self.config.grid, self.config.patch
        rank, channels = len(grid), self.config.out_channels
        cut = tokens.view(len(tokens), *grid, *patch, channels)
        pairs = [axis for i in range(rank) for axis in (1 + i, 1 + rank + i)]
        return cut.permute(0, 1 + 2 * rank, *pairs).reshape(
            len(tokens), channels, *self.config.latent
        )

    def _check(self, noisy: torch.Tensor) -> None:
        want = (self.config.in_channels, *self.config.latent)
        if tuple(noisy.shape[1:]) != want:
            raise BadInput(
                f"latent of shape {tuple(noisy.shape[1:])}",
                f"{want}: channels and input_size of the denoiser's configuration",
                "Crop or pad the volumes to the size the network was built for",
            )

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
        for module in [*self.blocks, self.final_layer]:
            nn.init.zeros_(module.adaLN_modulation[1].weight)
        nn.init.zeros_(self.final_layer.linear.weight)


def position_encoding(width: int, grid: Sequence[int]) -> torch.Tensor:
    """Sin-cos code (1, tokens, width): an equal, even share of the width for each axis.

    Where the shares do not come out even the width is padded up and cut back.
    """
    rank = len(grid)
    share = 2 * math.ceil(width / (2 * rank))
    places = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid), indexing="ij")
    omega = 1.0 / 10000 ** (np.arange(share // 2, dtype=np.float32) / (share / 2.0))
    codes = []
    for place in places:
        angle = np.outer(place.reshape(-1), omega)
        codes += [np.sin(angle), np.cos(angle)]
    return torch.from_numpy(np.concatenate(codes, axis=1)[:, :width].copy()).float()[None]


def _normalize(tokens: torch.Tensor) -> torch.Tensor:
    """Layer normalization without affine parameters."""
    return functional.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
