"""From an image to a label map with a network: one grid, sliding window, clean-up.

A cine is read frame by frame; where the network takes three channels they are the frame before,
the frame itself and the frame after (the beat is a cycle). That gives consistency over time without
a temporal filter, which would shrink the systole it is there to measure. Afterwards each structure
but nodules keeps its largest connected component (26 neighbors) in each frame; what it loses goes
to the next likely class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.cache import Cache, key_of
from audit.cohort import Cohort
from audit.progress import track
from audit.volume import LabelMap, Spacing, Volume

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float32]
SEVERAL = ("nodule",)
FRAMES_PER_CALL = 4


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A network ready to label volumes.

    Attributes:
        network: Maps (b, c, z, y, x) in [-1, 1] to class scores (b, k, z, y, x), background first.
        names: Code of each structure, in the order of the network's classes 1, 2, ...
        spacing_mm: Voxel size that the network works on.
        window: Intensities that map to [-1, 1]; None scales each volume by its own percentiles.
        patch: Window (z, y, x) that slides over larger volumes.
        temporal: Whether the input is three frames of a cycle.
        device: Where the network runs.
        key: Hash of weights and settings.
        params: What a result must say of it.
    """

    network: "Callable[[torch.Tensor], torch.Tensor]"
    names: Mapping[str, int]
    spacing_mm: Spacing
    window: tuple[float, float] | None
    patch: tuple[int, int, int]
    temporal: bool
    device: str
    key: str
    params: dict[str, Any] = field(default_factory=dict)


def network_input(
    volume: Volume,
    frames: tuple[int, ...],
    *,
    spacing_mm: Spacing,
    window: tuple[float, float] | None,
    temporal: bool,
) -> "torch.Tensor":
    """Frames as the network sees them, (frames, c, z, y, x) on its grid, about [-1, 1]."""
    import torch

    low, high = window or tuple(np.percentile(volume.array[0], [1, 99]).tolist())
    scaled = (volume.array[0] - low) / max(high - low, 1e-6) * 2 - 1
    around = (-1, 0, 1) if temporal else (0,)
    index = (np.array(frames)[:, None] + np.array(around)) % volume.frames
    stack = torch.from_numpy(np.clip(scaled, -1.2, 1.2).astype(np.float32)[index])
    size = working_size(volume, spacing_mm)
    return resize(stack, size)


def working_size(volume: Volume, spacing_mm: Spacing) -> tuple[int, int, int]:
    """Voxels (z, y, x) of a volume on the network's grid; its own where spacing is unknown."""
    if not volume.spacing_known:
        z, y, x = volume.shape[2:]
        return z, y, x
    z, y, x = (
        max(1, round(n * s / w))
        for n, s, w in zip(volume.shape[2:], volume.spacing_mm, spacing_mm, strict=True)
    )
    return z, y, x


def resize(array: "torch.Tensor", size: tuple[int, ...]) -> "torch.Tensor":
    """Bring (b, c, z, y, x) to a size: area average where it shrinks, trilinear where it grows."""
    from torch.nn.functional import adaptive_avg_pool3d, interpolate

    z, y, x = (min(a, b) for a, b in zip(array.shape[2:], size, strict=True))
    if (z, y, x) != tuple(array.shape[2:]):
        array = adaptive_avg_pool3d(array, (z, y, x))
    if tuple(size) != (z, y, x):
        array = interpolate(array, size=list(size), mode="trilinear", align_corners=False)
    return array


def segment(volume: Volume, segmenter: Segmenter) -> npt.NDArray[np.int16]:
    """Label codes (t, z, y, x) of a volume on its own grid."""
    import torch

    found = []
    for start in range(0, volume.frames, FRAMES_PER_CALL):
        frames = tuple(range(start, min(start + FRAMES_PER_CALL, volume.frames)))
        batch = network_input(
            volume,
            frames,
            spacing_mm=segmenter.spacing_mm,
            window=segmenter.window,
            temporal=segmenter.temporal,
        )
        with torch.inference_mode():
            scores = _slide(batch.to(segmenter.device), segmenter)
            shares = resize(torch.softmax(scores.float(), dim=1), volume.shape[2:]).cpu().numpy()
        found += [_codes(share, segmenter.names) for share in shares]
    return np.stack(found)


def _slide(batch: "torch.Tensor", segmenter: Segmenter) -> "torch.Tensor":
    from monai.inferers.utils import sliding_window_inference

    return sliding_window_inference(
        batch,
        roi_size=segmenter.patch,
        sw_batch_size=FRAMES_PER_CALL,
        predictor=segmenter.network,
        overlap=0.5,
        mode="gaussian",
        padding_mode="replicate",
    )


def _codes(shares: Array, names: Mapping[str, int]) -> npt.NDArray[np.int16]:
    """Codes (z, y, x) from class shares (k, z, y, x), cleaned."""
    classes = shares.argmax(axis=0)
    stray = np.zeros(shares.shape, dtype=bool)
    for k, name in enumerate(names, start=1):
        if name not in SEVERAL:
            stray[k] = _beyond_largest(classes == k)
    if stray.any():
        classes = np.where(stray, -1, shares).argmax(axis=0)
    return np.array([0, *names.values()], dtype=np.int16)[classes]


def _beyond_largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Voxels of a mask (z, y, x) outside its largest component."""
    from scipy.ndimage import label

    components, count = label(mask, structure=np.ones((3, 3, 3)))
    if count < 2:
        return np.zeros_like(mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return np.asarray(mask & (components != sizes.argmax()))


def segment_cohort(cohort: Cohort, segmenter: Segmenter, cache: Cache) -> list[LabelMap]:
    """Label maps of all cases, each read from the cache where its voxels were seen before."""
    maps = []
    for i in track(range(len(cohort)), f"segmenting {cohort.role}"):
        image = cohort[i].image
        key = key_of(voxels=cohort.case_hashes[i], segmenter=segmenter.key)
        codes = cache.arrays(key, lambda image=image: {"codes": segment(image, segmenter)})  # type: ignore[misc]
        maps.append(
            LabelMap(
                array=codes["codes"],
                names=dict(segmenter.names),
                spacing_mm=image.spacing_mm,
                spacing_known=image.spacing_known,
                frame_ms=image.frame_ms,
            )
        )
    return maps
