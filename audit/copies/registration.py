"""Stage two of a copy search: does the candidate match once the two volumes are aligned?

Left-right flip and six rigid parameters are fitted by gradient on normalized cross-correlation, in
torch and batched; no two volumes leave it better aligned than a copy and its source.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from audit.spatial import Extent, rigid_theta, warp

FloatArray = npt.NDArray[np.float32]
TRY_STEPS = 8  # of both mirror images, to choose one
STEPS = 36
RATE = 0.05
SIDE = 32
BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How well moved volumes match fixed ones after rigid alignment.

    Attributes:
        ncc: Normalized cross-correlation (n,) in [-1, 1]; all of one anatomy come near 1.
        partial: Correlation (n,) of what is left of both after regression on what patients share,
            in the same pose: what one has of one's own.
        ssim: Structural similarity (n,) at the aligned position.
        angles_deg: Rotation found (n, 3) about x, y, z.
        shifts: Shift found (n, 3) along x, y, z as a share of the field of view.
        flipped: Whether the mirror image fitted better (n,).
    """

    ncc: npt.NDArray[np.float64]
    partial: npt.NDArray[np.float64]
    ssim: npt.NDArray[np.float64]
    angles_deg: npt.NDArray[np.float64]
    shifts: npt.NDArray[np.float64]
    flipped: npt.NDArray[np.bool_]


def align(
    fixed: FloatArray,
    moving: FloatArray,
    shared: FloatArray,
    extent_mm: Extent,
    *,
    device: str,
) -> Alignment:
    """Register pairs of volumes (n, c, z, y, x) with flips and rigid moves.

    Volumes are averaged down to at most 32 voxels an axis and slightly smoothed, as a decoder
    smooths. Deterministic on one device.

    Args:
        fixed: Candidates, one per row.
        moving: What each may be a copy of.
        shared: What training patients share (p, c, z, y, x): their mean and leading modes.
        extent_mm: Field of view (z, y, x) in mm.
        device: ``cpu`` or ``cuda``.
    """
    parts = [
        _align_batch(
            torch.from_numpy(fixed[i : i + BATCH]).to(device),
            torch.from_numpy(moving[i : i + BATCH]).to(device),
            torch.from_numpy(shared).to(device),
            extent_mm,
        )
        for i in range(0, len(fixed), BATCH)
    ]
    names = ("ncc", "partial", "ssim", "angles_deg", "shifts", "flipped")
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Alignment(**columns)


def correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Normalized cross-correlation (n,) of volumes (n, c, z, y, x), the mean over channels.

    0 where a channel is constant.
    """
    return _by_channel(a, b).mean(dim=1)


def partial_correlation(a: torch.Tensor, b: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """Correlation (n,) of volumes (n, c, z, y, x) after regression on (n, p, c, z, y, x)."""
    parts = []
    for channel in range(a.shape[1]):
        basis = shared[:, :, channel].flatten(2).transpose(1, 2)
        q, _ = torch.linalg.qr(basis - basis.mean(dim=1, keepdim=True))
        left = []
        for volumes in (a, b):
            rows = volumes[:, channel].flatten(1)
            rows = rows - rows.mean(dim=1, keepdim=True)
            left.append(rows - (q @ (q.transpose(1, 2) @ rows[:, :, None]))[:, :, 0])
        norms = left[0].norm(dim=1) * left[1].norm(dim=1)
        parts.append((left[0] * left[1]).sum(dim=1) / norms.clamp_min(1e-6))
    return torch.stack(parts).mean(dim=0)


def _by_channel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a.flatten(2), b.flatten(2)
    a, b = a - a.mean(dim=2, keepdim=True), b - b.mean(dim=2, keepdim=True)
    return (a * b).sum(dim=2) / (a.norm(dim=2) * b.norm(dim=2)).clamp_min(1e-6)


def structural_similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """SSIM (n,) of volumes (n, c, z, y, x) in [-1, 1] with a uniform window of up to 7 voxels.

    References:
        Wang et al. 2004, doi 10.1109/TIP.2003.819861.
    """
    window = [min(7, n) for n in a.shape[2:]]

    def mean(volume: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool3d(volume, window, stride=1)

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    score = score / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    return score.flatten(1).mean(dim=1)


def _align_batch(
    fixed: torch.Tensor, moving: torch.Tensor, shared: torch.Tensor, extent_mm: Extent
) -> Alignment:
    fixed, moving = _smooth(_whole(fixed)), _smooth(_whole(moving))
    start = torch.zeros(len(fixed), 6, device=fixed.device)
    straight = torch.zeros(len(fixed), dtype=torch.bool, device=fixed.device)
    tried = [
        _descend(fixed, moving, flips, start, TRY_STEPS, extent_mm)
        for flips in (straight, ~straight)
    ]
    flips = tried[1][1] > tried[0][1]
    start = torch.where(flips[:, None], tried[1][0], tried[0][0])
    moves, ncc = _descend(fixed, moving, flips, start, STEPS, extent_mm)
    with torch.no_grad():
        theta = _theta(moves, flips, extent_mm)
        moved = warp(moving, theta)
        ssim = structural_similarity(fixed, moved)
        basis = [
            _smooth(_smooth(warp(_whole(shared), t.expand(len(shared), -1, -1))))
            for t in theta[:, None]
        ]
        partial = partial_correlation(_smooth(fixed), _smooth(moved), torch.stack(basis))
    return Alignment(
        ncc=ncc.double().cpu().numpy(),
        partial=partial.double().cpu().numpy(),
        ssim=ssim.double().cpu().numpy(),
        angles_deg=np.degrees(moves[:, :3].double().cpu().numpy()),
        shifts=moves[:, 3:].double().cpu().numpy() / 2,
        flipped=flips.cpu().numpy(),
    )


def _theta(moves: torch.Tensor, flips: torch.Tensor, extent_mm: Extent) -> torch.Tensor:
    return rigid_theta(moves[:, :3], moves[:, 3:] / 2, extent_mm=extent_mm, flip=flips)


def _descend(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    flips: torch.Tensor,
    start: torch.Tensor,
    steps: int,
    extent_mm: Extent,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Adam on angles and shifts (n, 6); each pair keeps its best position, the start included."""
    moves = start.clone().requires_grad_()
    free = torch.ones(6, device=fixed.device)
    if fixed.shape[2] < 8:  # a stack of few slices is only moved in its plane
        free[[0, 1, 5]] = 0
    optimizer = torch.optim.Adam([moves], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps + 1)
    best = torch.full((len(fixed),), -2.0, device=fixed.device)
    kept = start
    for _ in range(steps + 1):
        ncc = correlation(fixed, warp(moving, _theta(moves * free, flips, extent_mm)))
        better = ncc.detach() > best
        best = torch.where(better, ncc.detach(), best)
        kept = torch.where(better[:, None], (moves * free).detach(), kept)
        optimizer.zero_grad(set_to_none=True)
        (-ncc.sum()).backward()
        optimizer.step()
        schedule.step()
    return kept, best


def _whole(volumes: torch.Tensor) -> torch.Tensor:
    """Averaged by whole factors: uneven windows would leave a pattern of their own."""
    factors = [math.ceil(n / SIDE) for n in volumes.shape[2:]]
    return torch.nn.functional.avg_pool3d(volumes, factors) if max(factors) > 1 else volumes


def _smooth(volumes: torch.Tensor) -> torch.Tensor:
    window = [3 if n >= 8 else 1 for n in volumes.shape[2:]]
    return torch.nn.functional.avg_pool3d(
        volumes, window, stride=1, padding=[w // 2 for w in window], count_include_pad=False
    )
