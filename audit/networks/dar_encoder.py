"""The copy-detection encoder of Dar et al. 2024, so that their published checkpoints load.

Numbers of their code are reproduced in tests/reference/memorization. The default encoder of an
audit is ``audit.extractors.ssl3d``; this one is for repeating published figures, and
``audit.extractors.dar2024`` trains it inside an audit.

References:
    Dar et al. 2024, arXiv:2402.01054; Cardio-AI/memorization-ldm.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audit.errors import BadInput

CONFIGURATIONS = {"dar2024": 16}  # hidden units of the first convolution
DOWNSAMPLE = (8, 64, 64)  # MRNet; [16, 16, 16] for the coronary CTs


def load_encoder(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    downsample: Sequence[int] = DOWNSAMPLE,
) -> nn.Module:
    """A copy-detection encoder by name, in evaluation mode.

    Args:
        name: ``dar2024``.
        checkpoint: State dict, or a training checkpoint that holds one. None gives random weights:
            an architecture to train, useless as it is.
        downsample: Factor of each axis (z, y, x), powers of two; volumes must end at 4x4x4.

    Returns:
        Maps (B, 1, D, H, W) to (B, 32).

    Raises:
        BadInput: Unknown name, or a checkpoint that does not fit.
    """
    from audit.errors import did_you_mean

    if name not in CONFIGURATIONS:
        raise BadInput(f"no encoder '{name}'", did_you_mean(name, CONFIGURATIONS))
    encoder = DarEncoder(CONFIGURATIONS[name], downsample)
    if checkpoint is not None:
        load_weights(encoder, Path(checkpoint))
    return encoder.eval()


class PaddedConv(nn.Module):
    """Convolution that keeps sizes by replication: kernel minus stride, the odd voxel in front."""

    def __init__(
        self, width: int, out: int, kernel: int, stride: Sequence[int] = (1, 1, 1)
    ) -> None:
        super().__init__()
        pads = [kernel - s for s in stride]
        self.padding = [p for pad in reversed(pads) for p in (pad // 2 + pad % 2, pad // 2)]
        self.conv = nn.Conv3d(width, out, kernel, (stride[0], stride[1], stride[2]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad, then convolve."""
        return self.conv(nn.functional.pad(x, self.padding, mode="replicate"))


class Residual(nn.Module):
    """Norm, SiLU, convolution, twice, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(width), PaddedConv(width, width, 3)
        self.norm2, self.conv2 = _norm(width), PaddedConv(width, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        silu = nn.functional.silu
        return x + self.conv2(silu(self.norm2(self.conv1(silu(self.norm1(x))))))


class Trunk(nn.Module):
    """The VQ-GAN encoder: each block halves every axis that still has a factor to give."""

    def __init__(self, hidden: int, downsample: Sequence[int]) -> None:
        super().__init__()
        halvings = [int(math.log2(f)) for f in downsample]
        if any(2**h != f for h, f in zip(halvings, downsample, strict=True)):
            raise BadInput(f"downsample is {tuple(downsample)}", "powers of two")
        self.conv_first = PaddedConv(1, hidden, 3)
        self.conv_blocks = nn.ModuleList()
        width = hidden
        for level in range(max(halvings)):
            stride = [2 if level < h else 1 for h in halvings]
            down = PaddedConv(width, hidden * 2 ** (level + 1), 4, stride)
            width = hidden * 2 ** (level + 1)
            self.conv_blocks.append(nn.ModuleDict({"down": down, "res": Residual(width)}))
        self.final_block = nn.Sequential(_norm(width), nn.SiLU())
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, width, D, H, W) at the coarsest grid."""
        x = self.conv_first(x)
        for block in self.conv_blocks:
            x = block["res"](block["down"](x))  # type: ignore[index]
        return self.final_block(x)


class DarEncoder(nn.Module):
    """Trunk, 1x1x1 convolution to 8 channels, and the head down to 32 numbers."""

    def __init__(self, hidden: int, downsample: Sequence[int]) -> None:
        super().__init__()
        self.encoder = Trunk(hidden, downsample)
        self.conv3D = PaddedConv(self.encoder.width, 8, 1)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 32)
        )

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes (B, 1, D, H, W) in [-1, 1] to embeddings (B, 32)."""
        features = self.conv3D(self.encoder(volumes))
        if features.shape[1:] != (8, 4, 4, 4):
            raise BadInput(
                f"volumes of {tuple(volumes.shape[2:])} end at {tuple(features.shape[2:])}",
                "(4, 4, 4)",
                "Resize the volumes or change downsample",
            )
        return self.dense(features)


def read_dar_encoder(checkpoint: Path) -> DarEncoder:
    """Load a checkpoint whose ``downsample`` is not known: every block halves every axis."""
    blocks = {
        key.split(".")[2] for key in _state(checkpoint) if key.startswith("encoder.conv_blocks")
    }
    encoder = DarEncoder(CONFIGURATIONS["dar2024"], [2 ** len(blocks)] * 3)
    load_weights(encoder, checkpoint)
    return encoder.eval()


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, width, eps=1e-6)


def _state(checkpoint: Path) -> dict[str, Any]:
    if not checkpoint.is_file():
        raise BadInput("the encoder's checkpoint does not exist", "a file", "Correct the path")
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BadInput(
            f"the encoder's checkpoint cannot be read ({type(error).__name__})", "a state dict"
        ) from error
    for wrapper in ("model", "state_dict"):
        if wrapper in state:
            state = state[wrapper]
    # the supervised layer took part in other experiments of theirs, not in this embedding
    return {k.removeprefix("module."): v for k, v in state.items() if "sup_layer" not in k}


def load_weights(encoder: DarEncoder, checkpoint: Path) -> None:
    """Read a checkpoint into an encoder.

    Raises:
        BadInput: No such file, or one that does not fit.
    """
    try:
        encoder.load_state_dict(_state(checkpoint))
    except RuntimeError as error:
        raise BadInput(
            "the encoder's checkpoint has other layers",
            "the layout of Cardio-AI/memorization-ldm with this downsample",
        ) from error
