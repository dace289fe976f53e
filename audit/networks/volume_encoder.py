"""A network of volumes as an ``Encoder`` of an audit; one of frames is averaged over time."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from audit.extractor import Encoder


class Framewise(nn.Module):
    """A network of 3D volumes (b, c, z, y, x), applied to each frame and averaged over time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Embed (b, c, t, z, y, x)."""
        frames = [self.network(frame) for frame in volumes.unbind(dim=2)]
        return torch.stack(frames).mean(dim=0)


def volume_encoder(
    network: nn.Module, key: str, device: str, sha256: str, params: dict[str, Any]
) -> Encoder:
    """Wrap a network that maps (b, c, t, z, y, x) to (b, d).

    Args:
        network: With its weights.
        key: Name and version of the extractor.
        device: ``cpu`` or ``cuda``.
        sha256: Of the weights.
        params: What a result says of the encoder beside that hash.
    """
    network = network.to(device).eval()

    def embed(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            embedded = network(torch.from_numpy(batch).to(device))
        return np.asarray(embedded.float().cpu().numpy())

    return Encoder(embed=embed, key=f"{key}:{sha256}", params={"weights_sha256": sha256, **params})
