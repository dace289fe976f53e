"""Stage two of a copy search: do two volumes match once one is laid over the other?

Left-right flip, six rigid parameters and one scale are fitted by damped Gauss-Newton on normalized
cross-correlation, in torch and batched. Adam on the same objective stops a tenth of a voxel short,
and a tenth of a voxel hides a copy: see ``audit.copies.likeness`` for what is compared then.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, delayed

from audit.copies.likeness import partial_correlation, smooth, structural_similarity
from audit.spatial import Extent, rigid_theta, warp

FloatArray = npt.NDArray[np.float32]
TRY_STEPS = 10  # of both mirror images at half the resolution, to choose one
STEPS = 3
LAST_STEPS = 3  # without smoothing, which would bias the scale
SIDE = 32
BATCH = 8  # pairs, on one core
PRIOR = 1e-4  # of a move by one of TYPICAL, in units of correlation: keeps empty volumes in place
TYPICAL = (*[math.radians(15)] * 3, *[0.1] * 3, 0.1)


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How well moved volumes match fixed ones after alignment.

    Attributes:
        ncc: Normalized cross-correlation (n,) in [-1, 1]; all of one anatomy come near 1.
        partial: Correlation (n,) of what is left of both after regression on what patients share,
            in the same pose: what one has of one's own.
        ssim: Structural similarity (n,) at the aligned position.
        angles_deg: Rotation found (n, 3) about x, y, z.
        shifts: Shift found (n, 3) along x, y, z as a share of the field of view.
        scale: Magnification found (n,).
        flipped: Whether the mirror image fitted better (n,).
    """

    ncc: npt.NDArray[np.float64]
    partial: npt.NDArray[np.float64]
    ssim: npt.NDArray[np.float64]
    angles_deg: npt.NDArray[np.float64]
    shifts: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    flipped: npt.NDArray[np.bool_]


def align(
    fixed: FloatArray,
    moving: FloatArray,
    shared: FloatArray,
    extent_mm: Extent,
    *,
    device: str,
) -> Alignment:
    """Register pairs of volumes (n, c, z, y, x) with flips, rigid moves and scale.

    Volumes are averaged down to at most 32 voxels an axis. Deterministic on one device.

    Args:
        fixed: What may be a copy, one per row.
        moving: What each may be a copy of.
        shared: What training patients share (p, c, z, y, x): their mean and leading modes.
        extent_mm: Field of view (z, y, x) in mm.
        device: ``cpu`` or ``cuda``.
    """
    basis = _whole(torch.from_numpy(shared).to(device))

    def part(start: int) -> Alignment:
        pairs = slice(start, start + BATCH)
        near, far = (_whole(torch.from_numpy(v[pairs]).to(device)) for v in (fixed, moving))
        with torch.no_grad():  # each thread has its own
            return _align_batch(near, far, basis, extent_mm)

    starts = range(0, len(fixed), BATCH)
    at_once = torch.get_num_threads() if device == "cpu" else 1
    with _one_thread_each():
        parts = Parallel(n_jobs=at_once, backend="threading")(delayed(part)(s) for s in starts)
    names = ("ncc", "partial", "ssim", "angles_deg", "shifts", "scale", "flipped")
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Alignment(**columns)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """For a batch a core: its operations are too small to share, and sums then agree anywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def reduced(volume: FloatArray) -> FloatArray:
    """A volume (c, z, y, x) at the resolution that ``align`` works at."""
    small: FloatArray = _whole(torch.from_numpy(volume)[None])[0].numpy()
    return small


def _align_batch(
    fixed: torch.Tensor, moving: torch.Tensor, shared: torch.Tensor, extent_mm: Extent
) -> Alignment:
    moves, flips = _register(fixed, moving, extent_mm)
    theta = _theta(moves, flips, extent_mm)
    moved = warp(moving, theta)
    # As channels of one volume they share a grid.
    basis = warp(shared.flatten(0, 1).expand(len(fixed), -1, -1, -1, -1), theta)
    basis = basis.unflatten(1, shared.shape[:2])
    near, far = smooth(fixed), smooth(moved)
    columns: dict[str, Any] = {
        "ncc": _correlation(near, far),
        "partial": partial_correlation(fixed, moved, basis),
        "ssim": structural_similarity(near, far),
        "angles_deg": moves[:, :3].rad2deg(),
        "shifts": moves[:, 3:6],
        "scale": moves[:, 6].exp(),
    }
    arrays = {name: value.double().cpu().numpy() for name, value in columns.items()}
    return Alignment(**arrays, flipped=flips.cpu().numpy())


def _register(
    fixed: torch.Tensor, moving: torch.Tensor, extent_mm: Extent
) -> tuple[torch.Tensor, torch.Tensor]:
    """Moves (n, 7) and flips (n,): both mirror images coarsely, the better one finely."""
    near, far = smooth(fixed), smooth(moving)
    coarse = [_whole(smooth(v), SIDE // 2) for v in (near, far)]
    start = torch.zeros(len(fixed), 7, device=fixed.device)
    straight = torch.zeros(len(fixed), dtype=torch.bool, device=fixed.device)
    tried = [
        _gauss_newton(coarse[0], coarse[1], flips, start, TRY_STEPS, extent_mm)
        for flips in (straight, ~straight)
    ]
    flips = tried[1][1] > tried[0][1]
    start = torch.where(flips[:, None], tried[1][0], tried[0][0])
    start, _ = _gauss_newton(near, far, flips, start, STEPS, extent_mm)
    return _gauss_newton(fixed, moving, flips, start, LAST_STEPS, extent_mm)[0], flips


def _gauss_newton(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    flips: torch.Tensor,
    start: torch.Tensor,
    steps: int,
    extent_mm: Extent,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Levenberg's damped steps on (n, 7) angles, shifts and log scale; steps that harm are undone.

    Returns:
        The moves and what they reach (n,): correlation less the prior.
    """
    free = _free(fixed)
    prior = PRIOR / torch.tensor(TYPICAL, device=fixed.device).square()
    target, _ = _unit(fixed)

    def reached(moves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moved = warp(moving, _theta(moves, flips, extent_mm))
        score = (_unit(moved)[0] * target).sum(dim=2).mean(dim=1)
        return moved, score - 0.5 * (prior * moves.square()).sum(dim=1)

    moves, damping = start, torch.full((len(fixed),), 1e-2, device=fixed.device)
    moved, score = reached(moves)
    for _ in range(steps):
        slope, curvature = _derivatives(target, moved, moves, flips, extent_mm)
        slope = slope - prior * moves
        curvature = curvature * free[:, None] * free
        damped = curvature.diagonal(dim1=1, dim2=2) * damping[:, None] + prior + 1e-9
        step = torch.linalg.solve(curvature + torch.diag_embed(damped), slope * free)
        trial, value = reached(moves + step)
        better = value > score
        moves = torch.where(better[:, None], moves + step, moves)
        moved = torch.where(better[:, None, None, None, None], trial, moved)
        score = torch.where(better, value, score)
        damping = torch.where(better, damping * 0.3, damping * 5).clamp(1e-5, 1e3)
    return moves, score


def _derivatives(
    target: torch.Tensor,
    moved: torch.Tensor,
    moves: torch.Tensor,
    flips: torch.Tensor,
    extent_mm: Extent,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope (n, 7) and Gauss-Newton curvature (n, 7, 7) of the correlation.

    A voxel changes by its gradient times how its place moves, a sum of 12 products of gradient and
    place; their sums over voxels are taken once, and then turned into the 7 parameters.
    """
    unit, norm = _unit(moved)
    products = _products(moved, _theta(moves, flips, extent_mm))
    along = torch.einsum("nckv,ncv->nck", products, unit)
    squares = torch.einsum("nckv,nclv->nckl", products, products)
    squares = squares - along[..., :, None] * along[..., None, :]
    match = (unit * target).sum(dim=2)[..., None]
    pull = torch.einsum("nckv,ncv->nck", products, target) - along * match
    jacobian = _theta_derivatives(moves, flips, extent_mm).flatten(2)
    slope = jacobian @ (pull / norm).mean(dim=1)[..., None]
    curvature = jacobian @ (squares / norm[..., None] ** 2).mean(dim=1) @ jacobian.transpose(1, 2)
    return slope[..., 0], curvature


def _products(moved: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """Centered gradient (in the frame of the source) times place: (n, c, 12, voxels)."""
    z, y, x = moved.shape[2:]
    zero = torch.zeros_like(moved)
    axes = [(4, x), (3, y), (2, z)]
    gradient = torch.stack(
        [torch.gradient(moved, dim=a)[0] * (n / 2) if n > 1 else zero for a, n in axes], dim=2
    ).flatten(3)
    inverse = torch.linalg.inv(theta[:, :, :3]).transpose(1, 2)
    gradient = torch.einsum("nab,ncbv->ncav", inverse, gradient)
    ticks = [(2 * torch.arange(n, device=moved.device) + 1) / n - 1 for n in (z, y, x)]
    grid = torch.meshgrid(*ticks, indexing="ij")
    place = torch.stack([grid[2], grid[1], grid[0], torch.ones_like(grid[0])]).flatten(1)
    products = (gradient[:, :, :, None] * place).flatten(2, 3)
    return products - products.mean(dim=3, keepdim=True)


def _theta(moves: torch.Tensor, flips: torch.Tensor, extent_mm: Extent) -> torch.Tensor:
    return rigid_theta(
        moves[:, :3], moves[:, 3:6], extent_mm=extent_mm, flip=flips, scale=moves[:, 6].exp()
    )


def _theta_derivatives(
    moves: torch.Tensor, flips: torch.Tensor, extent_mm: Extent, small: float = 1e-3
) -> torch.Tensor:
    """Central differences (n, 7, 3, 4) of the matrices."""
    steps = torch.eye(7, device=moves.device) * small
    tried = torch.stack([moves[:, None] + steps, moves[:, None] - steps])
    flipped = flips[None, :, None].expand(tried.shape[:-1])
    above, below = _theta(tried.flatten(0, 2), flipped.flatten(), extent_mm).unflatten(
        0, tried.shape[:-1]
    )
    return (above - below) / (2 * small)


def _free(volumes: torch.Tensor) -> torch.Tensor:
    """Which parameters may move: a stack of few slices only in its plane."""
    free = torch.ones(7, device=volumes.device)
    if volumes.shape[2] < 8:
        free[[0, 1, 5]] = 0
    return free


def _unit(volumes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centered rows (n, c, voxels) of length 1, and the length (n, c, 1) they had."""
    rows = volumes.flatten(2)
    rows = rows - rows.mean(dim=2, keepdim=True)
    norm = rows.norm(dim=2, keepdim=True).clamp_min(1e-6)
    return rows / norm, norm


def _correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean over channels (n,); 0 where a channel is constant."""
    return (_unit(a)[0] * _unit(b)[0]).sum(dim=2).mean(dim=1)


def _whole(volumes: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """Averaged by whole factors: uneven windows would leave a pattern of their own."""
    factors = [math.ceil(n / side) for n in volumes.shape[2:]]
    return torch.nn.functional.avg_pool3d(volumes, factors) if max(factors) > 1 else volumes
