"""Augmentation of the first stage, as in the official scripts: small rotation, flip, crop."""

import math

import numpy as np
import torch

from generators.recipe import Data

AXES = ("z", "y", "x")


def augment(image: torch.Tensor, data: Data, rng: np.random.Generator) -> torch.Tensor:
    """Rotate, flip and crop an image (c, t, z, y, x); all frames alike.

    Outside the volume, the border voxels are repeated.
    """
    c, t, *zyx = image.shape
    frames = image.reshape(c * t, *zyx)
    if data.rotate_degrees > 0 and rng.random() < data.rotate_probability:
        frames = _rotate(frames, data.rotate_degrees, rng)
    if data.flip_axis is not None and rng.random() < data.flip_probability:
        frames = frames.flip(1 + AXES.index(data.flip_axis))
    if data.crop is not None:
        for axis, size in enumerate(data.crop, start=1):
            room = frames.shape[axis] - size
            if room > 0:
                frames = frames.narrow(axis, int(rng.integers(0, room + 1)), size)
    return frames.reshape(c, t, *frames.shape[1:]).contiguous()


def _rotate(frames: torch.Tensor, degrees: float, rng: np.random.Generator) -> torch.Tensor:
    from monai.transforms import Rotate

    angles = rng.uniform(-math.radians(degrees), math.radians(degrees), size=3)
    if frames.shape[1] == 1:
        flat = Rotate(angle=float(angles[0]), padding_mode="border")(frames[:, 0])
        return torch.as_tensor(flat)[:, None]
    return torch.as_tensor(Rotate(angle=angles.tolist(), padding_mode="border")(frames))
