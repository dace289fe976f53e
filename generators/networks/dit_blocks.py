"""Layers of the diffusion transformer; their attributes carry the official keys."""

import math

import torch
from torch import nn
from torch.nn import functional

from generators.networks.dit_config import DiTConfig
from generators.networks.fixed import Fixed

FREQUENCIES = 256


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

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """(B,) to (B, hidden); the loss drops labels (``generators.training.denoiser``)."""
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
        seen = _modulated(tokens, shift, scale)
        if control is not None:
            seen = seen + control.to(seen.dtype)
        tokens = torch.addcmul(tokens, gate, self.attn(seen))
        shift, scale, gate = parts[3:]
        return torch.addcmul(tokens, gate, self.mlp(_modulated(tokens, shift, scale)))


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
        return self.linear(_modulated(tokens, shift, scale))


def _modulated(tokens: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Layer normalization, then scale and shift (B or 1, 1, hidden).

    Where all samples share them, as they do in sampling, it is one operation: they are the
    normalization's own weight and bias.
    """
    width = tokens.shape[-1:]
    if len(shift) > 1:
        return torch.addcmul(shift, functional.layer_norm(tokens, width, eps=1e-6), 1 + scale)
    weight, bias = ((part[0, 0]).to(tokens.dtype) for part in (1 + scale, shift))
    return functional.layer_norm(tokens, width, weight, bias, 1e-6)
