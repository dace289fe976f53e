"""Diffusion transformer (Peebles and Xie 2023) for 3D and 4D latents, in the official key layout.

The grid of the latent is (x, y, z) for VolDiT and (z, x, y, t) for CardioDiT; nothing here depends
on which. Patches may be anisotropic.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from audit.errors import BadInput
from generators.networks.dit_blocks import (
    Block,
    FinalLayer,
    LabelEmbedder,
    PatchEmbed,
    TimestepEmbedder,
)
from generators.networks.dit_config import DiTConfig

BlockControl = Callable[[int], torch.Tensor | None]


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
        if self.labels == 1:
            return [layer[step : step + 1] for layer in self.layers]
        return [layer[step * self.labels + self.rows] for layer in self.layers]


class DiT(nn.Module):
    """The denoiser.

    Attributes:
        config: Its sizes.
    """

    pos_embed: torch.Tensor

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self._known: tuple[Any, list[torch.Tensor]] | None = None
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
            if labels is not None and self.config.num_classes and not self.training:
                self._checked(on_host(labels))
            modulations = self._modulate(self._embed(timesteps, labels))
        tokens = self.x_embedder(noisy) + self.pos_embed
        for i, block in enumerate(self.blocks):
            added = control(i) if control is not None else None
            tokens = block(tokens, modulations[i], added)
        return self._unpatchify(self.final_layer(tokens, modulations[-1]))

    @torch.no_grad()
    def modulate_all(
        self, timesteps: Sequence[int], labels: torch.Tensor | None = None
    ) -> Modulations:
        """All that depends on time and label only, for a whole schedule at once.

        What was computed last is kept for the next batch as long as the weights stay.
        """
        device = self.pos_embed.device
        rows = torch.zeros(1, dtype=torch.int64, device=device)
        kinds: list[int] | None = None
        if labels is not None and self.config.num_classes:
            wanted = self._checked(on_host(labels))
            kinds = sorted(set(wanted))
            rows = torch.tensor([kinds.index(label) for label in wanted], device=device)
        count = len(kinds) if kinds is not None else 1
        key = (tuple(timesteps), kinds, *self._weights())
        if self._known is None or self._known[0] != key:
            steps = torch.tensor([t for t in timesteps for _ in range(count)], device=device)
            repeated = torch.tensor(kinds * len(timesteps), device=device) if kinds else None
            self._known = (key, self._modulate(self._embed(steps, repeated)))
        return Modulations(layers=self._known[1], labels=count, rows=rows)

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

    def _weights(self) -> tuple[Any, ...]:
        """What changes when the weights that modulations depend on do."""
        heads = [m.adaLN_modulation for m in [*self.blocks, self.final_layer]]
        parts = [self.t_embedder, *heads, *([self.y_embedder] if self.y_embedder else [])]
        weights = [p for part in parts for p in part.parameters()]
        device = self.pos_embed.device.type
        cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        versions = (object() if p.is_inference() else p._version for p in weights)
        return (cast, *((p.dtype, p.data_ptr()) for p in weights), *versions)

    def _embed(self, timesteps: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        context = self.t_embedder(timesteps)
        if labels is None or self.y_embedder is None or not self.config.num_classes:
            return context
        return context + self.y_embedder(labels)

    def _checked(self, labels: list[int]) -> list[int]:
        """The labels, if all are classes or the null class."""
        classes = self.config.num_classes
        wrong = [n for n in labels if not 0 <= n < classes + (self.config.class_dropout_prob > 0)]
        if wrong:
            raise BadInput(f"label {wrong[0]} for {classes} classes", f"0 to {classes - 1}")
        return labels

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


def on_host(labels: torch.Tensor) -> list[int]:
    """Labels as numbers; on a GPU this waits for them, so it is done once per batch."""
    return [int(label) for label in labels.tolist()]


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
