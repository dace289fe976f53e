"""Rigid moves of volumes in mm, batched in torch: for augmentation, planted copies, registration.

A move is given in the frame of the volume: angles about the x, y and z axes, shifts as a share of
the field of view, a flip of left and right, one scale.
"""

import torch

Extent = tuple[float, float, float]


def rigid_theta(
    angles: torch.Tensor,
    shifts: torch.Tensor,
    *,
    extent_mm: Extent,
    flip: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """Matrices (b, 3, 4) for ``warp``.

    Args:
        angles: Rotations (b, 3) about x, y, z in radians.
        shifts: Translations (b, 3) along x, y, z as a share of the field of view.
        extent_mm: Field of view (z, y, x) in mm: without it a rotation would shear volumes that
            are not cubes.
        flip: Whether to mirror left and right, bool (b,).
        scale: Magnification (b,); 1 keeps the size.
    """
    rotation = _about(angles[:, 0], 0) @ _about(angles[:, 1], 1) @ _about(angles[:, 2], 2)
    if scale is not None:
        rotation = rotation / scale[:, None, None]
    if flip is not None:
        mirror = torch.ones_like(angles)
        mirror[:, 0] = 1 - 2 * flip.to(angles.dtype)
        rotation = rotation * mirror[:, None, :]
    size = torch.tensor(extent_mm[::-1], dtype=angles.dtype, device=angles.device)
    normalized = rotation * (size[None, None, :] / size[None, :, None])
    return torch.cat([normalized, 2 * shifts[:, :, None]], dim=2)


def warp(volumes: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """Sample volumes (b, c, z, y, x) trilinearly where the matrices say; the border is repeated."""
    grid = torch.nn.functional.affine_grid(theta, list(volumes.shape), align_corners=False)
    return torch.nn.functional.grid_sample(
        volumes, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def shrink(volumes: torch.Tensor, side: int) -> torch.Tensor:
    """Volumes (b, c, z, y, x) averaged down to at most ``side`` voxels an axis."""
    z, y, x = volumes.shape[2:]
    size = (min(side, z), min(side, y), min(side, x))
    if size == (z, y, x):
        return volumes
    return torch.nn.functional.adaptive_avg_pool3d(volumes, size)


def _about(angle: torch.Tensor, axis: int) -> torch.Tensor:
    cos, sin = angle.cos(), angle.sin()
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    rows = {
        0: [one, zero, zero, zero, cos, -sin, zero, sin, cos],
        1: [cos, zero, sin, zero, one, zero, -sin, zero, cos],
        2: [cos, -sin, zero, sin, cos, zero, zero, zero, one],
    }[axis]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)
