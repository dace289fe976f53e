"""VQ-GAN first stage: MONAI's VQ-VAE encoder and decoder around a codebook that fits in memory.

MONAI's ``VQVAE`` refuses the per-axis strides of the official CardioDiT files, and its quantizer
holds two matrices of tokens × codes (17 GB each for 512×512×256 at 16384 codes in training), so
the pieces are put together here under the same key names.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.vqvae import Decoder, Encoder
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from audit.errors import BadInput
from audit.result import Record
from generators.networks.fixed import Fixed
from generators.networks.levels import refuse_other_levels
from generators.tiles import tiled

Axes = int | tuple[int, ...]
DISTANCES = 2**24


class VQGANConfig(Record):
    """``params`` of an official first stage; numbers per axis may stand wherever one number may.

    Attributes:
        spatial_dims: 3, or 2 for images.
        in_channels: Image channels.
        out_channels: Image channels again.
        num_channels: Widths by level.
        num_res_channels: Widths inside residual units; one number stands for all levels.
        num_res_layers: Residual units a level.
        downsample_parameters: (stride, kernel, dilation, padding) by level.
        upsample_parameters: (stride, kernel, dilation, padding, output padding) by level.
        num_embeddings: Codes.
        embedding_dim: Latent channels.
        embedding_init: ``normal`` or ``kaiming_uniform``.
        commitment_cost: Weight of the commitment loss.
        decay: Of the codebook's moving averages.
        epsilon: Laplace smoothing of code counts.
        dropout: In training.
        act: Activation, by MONAI's name.
        output_act: Activation of the image, or None.
        ddp_sync: Whether processes share code counts.
        use_checkpointing: Recompute in the backward pass to save memory.
    """

    spatial_dims: int = Field(3, ge=2, le=3)
    in_channels: int = 1
    out_channels: int = 1
    num_channels: tuple[int, ...] = (96, 96, 192)
    num_res_channels: tuple[int, ...] | int = (96, 96, 192)
    num_res_layers: int = Field(3, ge=0)
    downsample_parameters: tuple[tuple[Axes, Axes, Axes, Axes], ...] = ((2, 4, 1, 1),) * 3
    upsample_parameters: tuple[tuple[Axes, Axes, Axes, Axes, Axes], ...] = ((2, 4, 1, 1, 0),) * 3
    num_embeddings: int = Field(32, ge=1)
    embedding_dim: int = Field(64, ge=1)
    embedding_init: str = "normal"
    commitment_cost: float = 0.25
    decay: float = 0.5
    epsilon: float = 1e-5
    dropout: float = 0.0
    act: str = "RELU"
    output_act: str | None = None
    ddp_sync: bool = True
    use_checkpointing: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, data: object) -> object:
        """One tuple of numbers stands for all levels, as in MONAI."""
        if not isinstance(data, dict) or "num_channels" not in data:
            return data
        data = dict(data)
        levels = len(data["num_channels"])
        for name in ("downsample_parameters", "upsample_parameters"):
            value = data.get(name)
            if value is not None and all(isinstance(x, int) for x in value):
                data[name] = (tuple(value),) * levels
        if isinstance(data.get("num_res_channels"), int):
            data["num_res_channels"] = (data["num_res_channels"],) * levels
        return data

    @model_validator(mode="after")
    def _levels(self) -> "VQGANConfig":
        refuse_other_levels(
            self, ("num_res_channels", "downsample_parameters", "upsample_parameters")
        )
        return self

    @property
    def factor(self) -> tuple[int, ...]:
        """How many voxels of the image one of the latent covers, per axis."""
        strides = [_per_axis(level[0], self.spatial_dims) for level in self.downsample_parameters]
        return tuple(math.prod(axis) for axis in zip(*strides, strict=True))


class Codebook(nn.Module):
    """Nearest-code quantization with a codebook learned by moving averages.

    Same numbers as MONAI's ``EMAQuantizer`` (van den Oord et al. 2017, appendix A.1), without
    its matrices of tokens × codes.
    """

    ema_cluster_size: torch.Tensor
    ema_w: torch.Tensor

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        codes = torch.randn(config.num_embeddings, config.embedding_dim)
        if config.embedding_init == "kaiming_uniform":
            nn.init.kaiming_uniform_(codes, mode="fan_in", nonlinearity="linear")
        self.embedding = Fixed(codes)
        self.register_buffer("ema_cluster_size", torch.zeros(config.num_embeddings))
        self.register_buffer("ema_w", codes.clone())

    def indices(self, latent: torch.Tensor) -> torch.Tensor:
        """Code of each position: (B, C, spatial) to (B, spatial) int64.

        The squared distance without its constant part decides, for so many positions at a time
        that 64 MB of distances suffice.
        """
        flat = latent.movedim(1, -1).reshape(-1, latent.shape[1]).float()
        codes = self.embedding.weight.float()
        rows = max(1, DISTANCES // len(codes))
        with torch.autocast(latent.device.type, enabled=False):
            half = codes.square().sum(1) / 2
            found = [
                torch.addmm(half, part, codes.T, alpha=-1).argmin(1) for part in flat.split(rows)
            ]
        return torch.cat(found).view(len(latent), *latent.shape[2:])

    def embed(self, indices: torch.Tensor) -> torch.Tensor:
        """Codes (B, spatial) to vectors (B, C, spatial)."""
        return functional.embedding(indices, self.embedding.weight).movedim(-1, 1).contiguous()

    def forward(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(quantized with straight-through gradient, commitment loss); learns in training."""
        with torch.no_grad():
            indices = self.indices(latent.detach())
            quantized = self.embed(indices).to(latent.dtype)
            if self.training:
                self._learn(latent.detach(), indices)
        loss = self.config.commitment_cost * functional.mse_loss(quantized, latent)
        return latent + (quantized - latent).detach(), loss

    def _learn(self, latent: torch.Tensor, indices: torch.Tensor) -> None:
        flat = latent.movedim(1, -1).reshape(-1, latent.shape[1]).float()
        codes = indices.flatten()
        ones = torch.ones_like(codes, dtype=self.ema_cluster_size.dtype)
        # Not bincount: on a GPU that waits for the largest code.
        counts = torch.zeros_like(self.ema_cluster_size).index_add_(0, codes, ones)
        sums = torch.zeros_like(self.ema_w).index_add_(0, codes, flat)
        if self.config.ddp_sync and torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
        decay, epsilon = self.config.decay, self.config.epsilon
        self.ema_cluster_size.mul_(decay).add_(counts, alpha=1 - decay)
        self.ema_w.mul_(decay).add_(sums, alpha=1 - decay)
        total = self.ema_cluster_size.sum()
        smooth = (self.ema_cluster_size + epsilon) / (total + self.config.num_embeddings * epsilon)
        self.embedding.weight.copy_(self.ema_w / (smooth * total)[:, None])


class _Quantizer(nn.Module):
    """Only there for the key names of the official files (``quantizer.quantizer``)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.quantizer = Codebook(config)


class VQGAN(nn.Module):
    """Image to quantized latent and back.

    Attributes:
        config: Its sizes.
        factor: Voxels of the image that one of the latent covers, per axis.
    """

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config, self.factor = config, config.factor
        shared: dict[str, Any] = {
            "spatial_dims": config.spatial_dims,
            "channels": config.num_channels,
            "num_res_layers": config.num_res_layers,
            "num_res_channels": _by_level(config.num_res_channels, len(config.num_channels)),
            "dropout": config.dropout,
            "act": config.act,
        }
        self.encoder = Encoder(
            in_channels=config.in_channels,
            out_channels=config.embedding_dim,
            downsample_parameters=config.downsample_parameters,
            **shared,
        )
        self.decoder = Decoder(
            in_channels=config.embedding_dim,
            out_channels=config.out_channels,
            upsample_parameters=config.upsample_parameters,
            output_act=config.output_act,
            **shared,
        )
        self.quantizer = _Quantizer(config)

    @property
    def codebook(self) -> Codebook:
        """The quantizer."""
        return self.quantizer.quantizer

    def quantize(self, latent: torch.Tensor) -> torch.Tensor:
        """Each position replaced by its nearest code."""
        return self.codebook.embed(self.codebook.indices(latent)).to(latent.dtype)

    def encode(self, image: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Image to quantized latent: what the second stage learns, as in the official scripts.

        Args:
            image: (B, 1, spatial).
            memory_gb: Limit to keep by exact tiles.
        """
        image = image.to(_dtype(self.encoder))
        return tiled(self.encoder, image, memory_gb=memory_gb, finish=self.quantize)

    def decode(self, latent: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Latent to image; quantizes first.

        Args:
            latent: (B, C, grid).
            memory_gb: Limit to keep by exact tiles.
        """
        quantized = self.quantize(latent).to(_dtype(self.decoder))
        return tiled(self.decoder, quantized, memory_gb=memory_gb)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(reconstruction, commitment loss), for training."""
        if self.config.use_checkpointing and torch.is_grad_enabled():
            quantized, loss = self.codebook(checkpoint(self.encoder, image, use_reentrant=False))
            return checkpoint(self.decoder, quantized, use_reentrant=False), loss
        quantized, loss = self.codebook(self.encoder(image))
        return self.decoder(quantized), loss


def refuse_other_channels(stage1: VQGANConfig, in_channels: int) -> None:
    """Stop before the first stage is trained where the denoiser could not take its latents.

    Raises:
        BadInput: The denoiser takes another number of channels.
    """
    if in_channels != stage1.embedding_dim:
        raise BadInput(
            f"a denoiser of {in_channels} in_channels",
            f"{stage1.embedding_dim}, the first stage's embedding_dim",
            "Give both the same number",
        )


def _dtype(network: nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype


def _per_axis(value: Axes, rank: int) -> Sequence[int]:
    return (value,) * rank if isinstance(value, int) else value


def _by_level(value: tuple[int, ...] | int, levels: int) -> tuple[int, ...]:
    return (value,) * levels if isinstance(value, int) else value
