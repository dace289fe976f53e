"""Training of the copy-detection encoder: NT-Xent on the real training volumes, 2D to 4D.

Two views of a volume, clean and disturbed as a copy might be, attract; other patients repel.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from audit.progress import track
from audit.result import write_bytes
from audit.spatial import Extent, rigid_theta, shrink, warp

Volumes = npt.NDArray[np.floating]
FEWEST_STEPS = 20
SAVE_EVERY = 50
COARSE = 10  # voxels an axis of the linear part
VIEWS = 40  # disturbed views a patient for its beginning
KEEP = 64
RIDGE = 0.01
MOST_PATIENTS = 256


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an encoder is trained; all of it is part of the weights' cache key.

    Attributes:
        side: Volumes are averaged down to at most so many voxels an axis.
        frames: Frames drawn per view of a cine; all are used when embedding.
        dim: Length of the embedding.
        steps: Gradient steps at most; fewer where there are fewer patients than that.
        batch: Patients per step, one volume each.
        rate: Adam's learning rate, cosine to 0.
        temperature: Of NT-Xent.
        angle_deg: Largest rotation of a view.
        shift: Largest shift as a share of the field of view.
    """

    side: int = 32
    frames: int = 4
    dim: int = 128
    steps: int = 300
    batch: int = 32
    rate: float = 1e-3
    temperature: float = 0.07
    angle_deg: float = 10.0
    shift: float = 0.05


class CopyEncoder(nn.Module):
    """Volumes (b, c, t, z, y, x) to embeddings (b, d); frames are pooled by mean and spread.

    A linear map of the coarse volume, begun by discriminant analysis, plus what convolutions add.
    Pooling makes a cine that was shifted in time or reversed look like its source.
    """

    def __init__(self, channels: int, shape: Sequence[int], recipe: Recipe) -> None:
        super().__init__()
        z, y, x = (min(recipe.side, n) for n in shape[1:])
        self.side, self.cine = recipe.side, shape[0] > 1
        pools = 2 if self.cine else 1
        coarse = (*(min(COARSE, n) for n in (z, y)), math.ceil(min(COARSE, x) / 2))
        self.coarse = nn.Linear(2 * channels * math.prod(coarse) * pools, recipe.dim)
        layers: list[nn.Module] = []
        width, x = 2 * channels, math.ceil(x / 2)
        for out in (16, 32, 64):
            stride = (2 if z > 4 else 1, 2 if y > 4 else 1, 2 if x > 4 else 1)
            layers += [nn.Conv3d(width, out, 3, stride, 1), nn.GroupNorm(8, out), nn.SiLU()]
            z, y, x = (math.ceil(n / s) for n, s in zip((z, y, x), stride, strict=True))
            width = out
        grid = (min(4, z), min(4, y), min(4, x))
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(grid), nn.Flatten())
        features = 64 * math.prod(grid) * pools
        last = nn.Linear(128, recipe.dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Linear(features, 128), nn.SiLU(), last)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Embed a batch."""
        b, c, t = volumes.shape[:3]
        frames = volumes.transpose(1, 2).reshape(b * t, c, *volumes.shape[3:])
        fine = self._pool(self.trunk(fold(shrink(frames, self.side))).reshape(b, t, -1))
        return self.coarse(self.coarse_features(volumes)) + self.head(fine)

    def coarse_features(self, volumes: torch.Tensor) -> torch.Tensor:
        """Folded volumes at 10 voxels an axis, pooled over frames: (b, features)."""
        b, c, t = volumes.shape[:3]
        frames = volumes.transpose(1, 2).reshape(b * t, c, *volumes.shape[3:])
        return self._pool(fold(shrink(frames, COARSE)).reshape(b, t, -1))

    def _pool(self, features: torch.Tensor) -> torch.Tensor:
        if not self.cine:
            return features[:, 0]
        spread = (features.var(dim=1, unbiased=False) + 1e-6).sqrt()
        return torch.cat([features.mean(dim=1), spread], dim=1)


def fold(volumes: torch.Tensor) -> torch.Tensor:
    """Left-right symmetric part and size of the asymmetry, (b, 2c, z, y, half x).

    The same for a volume and its mirror image, so that a flipped copy needs no learning.
    """
    mirrored = volumes.flip(-1)
    half = math.ceil(volumes.shape[-1] / 2)
    parts = [(volumes + mirrored) / 2, (volumes - mirrored).abs() / 2]
    return torch.cat(parts, dim=1)[..., :half]


def disturb(
    volumes: torch.Tensor, extent_mm: Extent, recipe: Recipe, rng: torch.Generator
) -> torch.Tensor:
    """Views (b, c, t, z, y, x) of volumes in [-1, 1] as a generator's copies might look.

    Flip, rotation, shift, zoom, gamma, contrast, noise, and half of the time the blur of a decoder.
    """
    b, c, t, z, y, x = volumes.shape
    device = volumes.device

    def uniform(*size: int, low: float = -1.0, high: float = 1.0) -> torch.Tensor:
        return torch.rand(*size, generator=rng).to(device) * (high - low) + low

    flat = volumes.reshape(b, c * t, z, y, x)
    if float(uniform(1)) > 0:
        flat = blur(flat)
    angles = uniform(b, 3) * math.radians(recipe.angle_deg)
    shifts = uniform(b, 3) * recipe.shift
    if z < 8:  # too thin to turn out of its plane
        angles[:, :2], shifts[:, 2] = 0, 0
    theta = rigid_theta(
        angles,
        shifts,
        extent_mm=extent_mm,
        flip=uniform(b) > 0,
        scale=uniform(b, low=0.97, high=1.03),
    )
    unit = (warp(flat, theta) + 1) / 2
    gamma = torch.exp(uniform(b, 1, 1, 1, 1) * math.log(1.4))
    unit = unit.clamp(1e-4, 1) ** gamma
    unit = unit * uniform(b, 1, 1, 1, 1, low=0.85, high=1.15)
    unit = unit + uniform(b, 1, 1, 1, 1, low=-0.05, high=0.05)
    noise = torch.randn(unit.shape, generator=rng).to(device)
    unit = unit + noise * uniform(b, 1, 1, 1, 1, low=0.0, high=0.06)
    return (unit * 2 - 1).clamp(-1, 1).reshape(b, c, t, z, y, x)


def blur(volumes: torch.Tensor) -> torch.Tensor:
    """Volumes (b, c, z, y, x) halved in resolution and brought back, as a decoder blurs."""
    z, y, x = volumes.shape[2:]
    coarse = nn.functional.adaptive_avg_pool3d(volumes, (max(1, z // 2), max(1, y // 2), x // 2))
    return nn.functional.interpolate(
        coarse, size=list(volumes.shape[2:]), mode="trilinear", align_corners=False
    )


def train_encoder(
    volumes: Volumes,
    subjects: Sequence[str],
    extent_mm: Extent,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    checkpoint: Path | None = None,
    autoencoded: Volumes | None = None,
) -> CopyEncoder:
    """Train an encoder; the same seed and device give the same weights, also after a break.

    Args:
        volumes: Training volumes (n, c, t, z, y, x) in [-1, 1], already at the recipe's side.
        subjects: Patient of each volume; a batch never holds a patient twice.
        extent_mm: Field of view (z, y, x) in mm.
        recipe: Settings.
        seed: Seed of weights, batches and views.
        device: ``cpu`` or ``cuda``.
        checkpoint: Where progress is kept while training; removed at the end.
        autoencoded: ``volumes`` after the generator's autoencoder, where that is known: the views
            to recognize are made of either, by turns of a coin.
    """
    from pytorch_metric_learning.losses import NTXentLoss

    groups = _rows_of(subjects)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        encoder = CopyEncoder(volumes.shape[1], volumes.shape[2:], recipe).to(device)
    views = _coarse_views(encoder, volumes, autoencoded, groups, extent_mm, recipe, seed)
    _discriminant(encoder, views, min(KEEP, max(12, len(groups) // 4), len(groups) - 1))
    steps = min(recipe.steps, max(FEWEST_STEPS, len(groups)))
    optimizer = torch.optim.Adam(encoder.parameters(), recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss_of = NTXentLoss(recipe.temperature)
    start = resume_progress(checkpoint, encoder, optimizer, schedule, device)
    for step in track(range(start, steps), "training the copy encoder"):
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        rows, frames = _draw(groups, volumes.shape[2], recipe, rng)
        clean = torch.from_numpy(np.asarray(volumes[rows], dtype=np.float32)).to(device)
        copied = _as_copied(clean, autoencoded, rows, rng)
        seen = disturb(copied[:, :, frames[1]], extent_mm, recipe, rng)
        embedded = encoder(torch.cat([clean[:, :, frames[0]], seen]))
        embedded = embedded - embedded.mean(dim=1, keepdim=True)  # Pearson, as it is used
        loss = loss_of(embedded, torch.arange(len(rows), device=device).repeat(2))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if checkpoint is not None and (step + 1) % SAVE_EVERY == 0 and step + 1 < steps:
            save_progress(checkpoint, step + 1, encoder, optimizer, schedule)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return encoder.eval()


def recipe_params(recipe: Recipe) -> dict[str, float | int]:
    """The recipe as a result or a cache key states it."""
    return asdict(recipe)


def _coarse_views(
    encoder: CopyEncoder,
    volumes: Volumes,
    autoencoded: Volumes | None,
    groups: list[npt.NDArray[np.intp]],
    extent_mm: Extent,
    recipe: Recipe,
    seed: int,
) -> torch.Tensor:
    """Coarse features (views, patients, features) of some patients, clean and disturbed."""
    device = encoder.coarse.weight.device
    rows = np.array([g[0] for g in groups[:MOST_PATIENTS]])
    rng = torch.Generator().manual_seed(seed)
    made = []
    for view in range(VIEWS + 1):
        parts = []
        for start in range(0, len(rows), recipe.batch):
            batch = rows[start : start + recipe.batch]
            seen = torch.from_numpy(np.asarray(volumes[batch], dtype=np.float32)).to(device)
            frames = torch.randperm(seen.shape[2], generator=rng)[: recipe.frames]
            if view:
                copied = _as_copied(seen, autoencoded, batch, rng)
                seen = disturb(copied[:, :, frames], extent_mm, recipe, rng)
            else:
                seen = seen[:, :, frames]
            parts.append(encoder.coarse_features(seen).double())
        made.append(torch.cat(parts))
    return torch.stack(made)


def _as_copied(
    clean: torch.Tensor,
    autoencoded: Volumes | None,
    rows: npt.NDArray[np.intp],
    rng: torch.Generator,
) -> torch.Tensor:
    """Volumes as they are or, by a coin each, after the autoencoder where that is known."""
    if autoencoded is None:
        return clean
    through = torch.from_numpy(np.asarray(autoencoded[rows], dtype=np.float32)).to(clean)
    coin = torch.rand(len(clean), 1, 1, 1, 1, 1, generator=rng).to(clean)
    return torch.where(coin < 0.5, through, clean)


def _discriminant(encoder: CopyEncoder, views: torch.Tensor, keep: int) -> None:
    """Begin the linear map with what differs between patients more than between their views.

    Views (v, n, features): whitened within patients, then the leading directions between them.
    """
    centers = views.mean(dim=0)
    middle = centers.mean(dim=0)
    inside = (views - centers).flatten(0, 1)
    values, vectors = torch.linalg.eigh(inside.T @ inside / len(inside))
    values = values.clamp_min(0) + RIDGE * values.clamp_min(0).mean() + 1e-12
    whiten = vectors / values.sqrt()
    _, _, between = torch.linalg.svd((centers - middle) @ whiten, full_matrices=False)
    matrix = whiten @ between[:keep].T
    scale = ((centers - middle) @ matrix).std()
    with torch.no_grad():
        encoder.coarse.weight.zero_()
        encoder.coarse.bias.zero_()
        encoder.coarse.weight[: matrix.shape[1]] = (matrix / scale).T.float()
        encoder.coarse.bias[: matrix.shape[1]] = -(middle @ matrix / scale).float()


def _rows_of(subjects: Sequence[str]) -> list[npt.NDArray[np.intp]]:
    _, codes = np.unique(np.asarray(subjects), return_inverse=True)
    return [np.flatnonzero(codes == k) for k in range(int(codes.max()) + 1)]


def _draw(
    groups: list[npt.NDArray[np.intp]], t: int, recipe: Recipe, rng: torch.Generator
) -> tuple[npt.NDArray[np.intp], tuple[torch.Tensor, torch.Tensor]]:
    """One volume each of some patients, and the frames of the two views."""
    patients = torch.randperm(len(groups), generator=rng)[: recipe.batch].tolist()
    picks = torch.rand(len(patients), generator=rng).tolist()
    rows = np.array(
        [groups[p][int(u * len(groups[p]))] for p, u in zip(patients, picks, strict=True)]
    )
    frames = [torch.randperm(t, generator=rng)[: recipe.frames] for _ in range(2)]
    return rows, (frames[0], frames[1])


def save_progress(
    checkpoint: Path,
    step: int,
    encoder: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Write how far a training is and all that it goes on from."""
    import io

    buffer = io.BytesIO()
    state = {
        "step": step,
        "encoder": encoder.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    torch.save(state, buffer)
    write_bytes(checkpoint, buffer.getvalue())


def resume_progress(
    checkpoint: Path | None,
    encoder: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    device: str,
) -> int:
    """Read what ``save_progress`` wrote into these objects; the step to go on with, 0 without."""
    if checkpoint is None or not checkpoint.is_file():
        return 0
    try:
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        encoder.load_state_dict(state["encoder"])
    except (OSError, RuntimeError, KeyError, EOFError):
        return 0  # damaged: train from the start
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])
