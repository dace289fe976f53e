"""Training of the copy encoder of Dar et al. 2024 as their code does it.

A clean view of a volume and one that was turned and mirrored attract, other volumes of the batch
repel (NT-Xent at the library's temperature). No change of intensities is learned, so that noise or
another window hides a copy from it: the default encoder, ``ssl3d``, learns those too.

References:
    Dar et al. 2024, arXiv:2402.01054; Cardio-AI/memorization-ldm.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from audit.networks.dar_encoder import CONFIGURATIONS, DarEncoder
from audit.networks.ssl_training import resume_progress, save_progress
from audit.progress import track
from audit.spatial import Extent, rigid_theta

EPOCHS = 200
BATCH = 10
RATE = 1e-4  # falls to half of it by a cosine
ANGLE_DEG = 5.0
CHANCE = 0.5  # of a turn, and of a flip
LARGEST = (32, 256, 256)  # voxels of the published volumes
LAST = 4  # voxels an axis where the trunk ends
SAVE_EVERY = 10


def grid_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Voxels (z, y, x) that volumes are averaged down to: 4 times a power of two on each axis.

    At most the published (32, 256, 256). An axis of fewer than 4 voxels gives 0.
    """
    sizes = [
        LAST * 2 ** int(math.log2(min(n, most) / LAST)) if n >= LAST else 0
        for n, most in zip(shape[-3:], LARGEST, strict=True)
    ]
    return sizes[0], sizes[1], sizes[2]


class Published(nn.Module):
    """The encoder behind the published input: one grid, each volume from -1 to 1."""

    def __init__(self, grid: tuple[int, int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.encoder = DarEncoder(CONFIGURATIONS["dar2024"], [n // LAST for n in grid])

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes (b, 1, z, y, x) of any range to embeddings (b, 32)."""
        small = nn.functional.adaptive_avg_pool3d(volumes, self.grid)
        low, high = (
            small.amin(dim=(1, 2, 3, 4), keepdim=True),
            small.amax(dim=(1, 2, 3, 4), keepdim=True),
        )
        embedded: torch.Tensor = self.encoder((small - low) / (high - low).clamp_min(1e-6) * 2 - 1)
        return embedded


def train_dar(
    volumes: npt.NDArray[np.floating],
    extent_mm: Extent,
    *,
    seed: int,
    device: str,
    checkpoint: Path | None = None,
) -> Published:
    """Train for 200 passes; the same seed and device give the same weights, also after a break.

    Args:
        volumes: Training volumes (n, 1, t, z, y, x); of a cine one random frame a pass is seen.
        extent_mm: Field of view (z, y, x) in mm.
        seed: Seed of weights, order, views and dropout.
        device: ``cpu`` or ``cuda``.
        checkpoint: Where progress is kept while training; removed at the end.
    """
    with _seeded(seed, device):
        network = Published(grid_of(volumes.shape)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS, RATE / 2)
    first = resume_progress(checkpoint, network, optimizer, schedule, device)
    network.train()
    for epoch in track(range(first, EPOCHS), "training the copy encoder of Dar et al."):
        stream = seed * 1_000_003 + epoch
        with _seeded(stream, device):  # dropout
            _pass(network, optimizer, volumes, extent_mm, stream)
        schedule.step()
        if checkpoint is not None and (epoch + 1) % SAVE_EVERY == 0 and epoch + 1 < EPOCHS:
            save_progress(checkpoint, epoch + 1, network, optimizer, schedule)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return network.eval()


def turned(volumes: torch.Tensor, extent_mm: Extent, rng: torch.Generator) -> torch.Tensor:
    """Views (b, 1, z, y, x): half of them turned by up to 5 degrees, half of them mirrored.

    What comes in from outside has the volume's least intensity.
    """
    b, floor = len(volumes), volumes.amin(dim=(1, 2, 3, 4), keepdim=True)
    angles = (torch.rand(b, 3, generator=rng) * 2 - 1) * math.radians(ANGLE_DEG)
    angles = angles * (torch.rand(b, 1, generator=rng) < CHANCE)
    flip = torch.rand(b, generator=rng) < CHANCE
    theta = rigid_theta(angles, torch.zeros(b, 3), extent_mm=extent_mm, flip=flip)
    grid = nn.functional.affine_grid(theta, list(volumes.shape), align_corners=False)
    moved = nn.functional.grid_sample(volumes - floor, grid.to(volumes), align_corners=False)
    return moved + floor


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Torch's global streams, which weights and dropout draw from, set and put back."""
    cuda = [torch.cuda.current_device()] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def _pass(
    network: Published,
    optimizer: torch.optim.Optimizer,
    volumes: npt.NDArray[np.floating],
    extent_mm: Extent,
    seed: int,
) -> None:
    from pytorch_metric_learning.losses import NTXentLoss

    rng, loss_of = torch.Generator().manual_seed(seed), NTXentLoss()
    device = next(network.parameters()).device
    order = torch.randperm(len(volumes), generator=rng)
    for rows in order.split(BATCH):
        if len(rows) < 2:
            continue  # nothing to tell it from
        frame = int(torch.randint(volumes.shape[2], (1,), generator=rng))
        clean = torch.from_numpy(np.asarray(volumes[rows.numpy()][:, :, frame], dtype=np.float32))
        views = torch.cat([clean, turned(clean, extent_mm, rng)]).to(device)
        loss = loss_of(network(views), torch.arange(len(rows), device=device).repeat(2))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
