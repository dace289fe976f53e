"""Copies of known volumes, disturbed in known ways: what a copy search must find."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from audit.errors import BadInput
from audit.extractor import Workshop
from audit.preprocessing import Preprocessing

LADDER: Mapping[str, str] = {
    "exact": "the same voxels",
    "shifted": "moved by 5 % of the field of view along each axis",
    "rotated": "turned by 10 degrees about one axis",
    "flipped": "left and right exchanged",
    "noised": "white noise, SD 5 % of the range",
    "remapped": "gamma 1.3 and 10 % less contrast",
    "cropped": "10 % of the field of view cut off on each side and stretched back",
    "moved_and_noised": "up to 10 degrees and 5 % of the field of view, 5 % noise",
    "autoencoded": "through the generator's own autoencoder",
}


def plant(
    volumes: npt.NDArray[np.float32],
    rung: str,
    preprocessing: Preprocessing,
    workshop: Workshop,
    *,
    seed: int,
) -> npt.NDArray[np.float32]:
    """Disturb volumes (n, c, t, z, y, x) in [-1, 1] as one rung of ``LADDER`` says.

    Raises:
        BadInput: Unknown rung, or ``autoencoded`` where no autoencoder is known.
    """
    if rung not in LADDER:
        raise BadInput(f"no disturbance '{rung}'", f"one of {', '.join(LADDER)}")
    rng = np.random.default_rng(seed)
    if rung == "autoencoded":
        if workshop.autoencode is None:
            raise BadInput("the generator's autoencoder is not known", "a generator of ours")
        return workshop.autoencode(volumes)
    if rung == "remapped":
        unit = ((volumes + 1) / 2).clip(0, 1) ** 1.3 * 0.9 + 0.05
        return np.asarray(unit * 2 - 1, dtype=np.float32)
    moved = _move(volumes, rung, preprocessing, rng)
    if rung in {"noised", "moved_and_noised"}:
        moved = moved + rng.standard_normal(moved.shape, dtype=np.float32) * np.float32(0.1)
    return np.asarray(moved.clip(-1, 1), dtype=np.float32)


def _move(
    volumes: npt.NDArray[np.float32],
    rung: str,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    import torch

    from audit.extractors.ssl3d import extent_mm
    from audit.spatial import rigid_theta, warp

    n = len(volumes)
    thin = volumes.shape[3] < 8
    signs = rng.choice([-1.0, 1.0], (n, 3))
    angles, shifts = np.zeros((n, 3)), np.zeros((n, 3))
    if rung == "shifted":
        shifts = 0.05 * signs
    elif rung == "rotated":
        axis = np.full(n, 2) if thin else rng.integers(0, 3, n)
        angles[np.arange(n), axis] = math.radians(10) * signs[:, 0]
    elif rung == "moved_and_noised":
        angles = rng.uniform(-1, 1, (n, 3)) * math.radians(10)
        shifts = rng.uniform(-1, 1, (n, 3)) * 0.05
    if thin:
        angles[:, :2], shifts[:, 2] = 0, 0
    theta = rigid_theta(
        torch.tensor(angles, dtype=torch.float32),
        torch.tensor(shifts, dtype=torch.float32),
        extent_mm=extent_mm(preprocessing),
        flip=torch.full((n,), rung == "flipped"),
        scale=torch.full((n,), 1 / 0.8 if rung == "cropped" else 1.0),
    )
    if not torch.any(theta != torch.eye(3, 4)):
        return volumes
    b, c, t, z, y, x = volumes.shape
    flat = torch.from_numpy(volumes).reshape(b, c * t, z, y, x)
    return warp(flat, theta).reshape(b, c, t, z, y, x).numpy()
