"""Latents of the training cohort on disk, and the factor that brings them to unit variance."""

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from audit.cache import Cache, key_of
from audit.errors import BadInput
from audit.progress import track
from generators.training.course import Course


def weights_hash(module: torch.nn.Module) -> str:
    """SHA-256 over names and values of all weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def encode_latents(course: Course) -> list[str]:
    """Encode every training case once; returns the key of each.

    Each latent is stored under a hash of the case's content, the grid and the first stage, so an
    interrupted encoding continues and another first stage never reads these.
    """
    cache = Cache(course.folder / "latents")
    network = weights_hash(course.model.stage1)
    device = torch.device("cuda" if torch.cuda.is_available() and not course.cpu else "cpu")
    course.model.to(device).eval()
    keys = []
    for index in track(range(len(course.cohort)), "encoding latents"):
        key = key_of(
            voxels=course.cohort.case_hashes[index],
            grid=course.grid.preprocessing.as_params(),
            structures=course.grid.structures,
            stage1=network,
        )
        cache.arrays(key, lambda index=index: _encode(course, index, device))  # type: ignore[misc]
        course.ledger.work(volumes=1)
        keys.append(key)
    return keys


@torch.inference_mode()
def _encode(course: Course, index: int, device: torch.device) -> dict[str, npt.NDArray[Any]]:
    case = course.cohort[index]
    image = torch.from_numpy(course.grid.image(case.image))[None].to(device)
    latent = course.model.encode(course.family.to_model(image))[0].float().cpu().numpy()
    arrays = {"latent": latent}
    if course.grid.structures:
        if case.labels is None:
            raise BadInput(
                "a training case has no label map", "label maps for a mask-conditional generator"
            )
        arrays["codes"] = course.grid.codes(case.labels)
    if course.grid.groups:
        arrays["group"] = np.array(course.grid.group(case))
    return arrays


def read_latent(course: Course, key: str) -> dict[str, npt.NDArray[Any]]:
    """What ``encode_latents`` stored under a key."""

    def absent() -> dict[str, npt.NDArray[Any]]:
        raise FileNotFoundError(key)

    return Cache(course.folder / "latents").arrays(key, absent)


def fit_scale_factor(course: Course, keys: list[str]) -> float:
    """Set and return 1 / standard deviation of all latents, in one pass (Chan et al. 1979)."""
    count, mean, squares = 0, 0.0, 0.0
    for key in keys:
        values = read_latent(course, key)["latent"].astype(np.float64)
        n, m = values.size, float(values.mean())
        delta = m - mean
        squares += float(((values - m) ** 2).sum()) + delta**2 * count * n / (count + n)
        mean += delta * n / (count + n)
        count += n
    deviation = math.sqrt(squares / count)
    course.model.scale_factor = 1 / deviation if deviation > 0 else 1.0
    return float(course.model.scale_factor)
