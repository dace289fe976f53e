"""One path from a volume to what networks see, the same for real and synthetic.

Orientation is settled on reading; here: spacing → crop or pad → intensity. What it does is
decided once, from the training cohort, and recorded in the result.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from audit.cohort import Cohort
from audit.volume import Spacing, Volume

CT_WINDOW_HU = (-1000.0, 1000.0)
MAX_VOXELS_PER_AXIS = 128


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How every volume of an audit is brought to one grid and range.

    Attributes:
        shape: Target (t, z, y, x).
        spacing_mm: Target spacing; volumes of unknown spacing are taken as if they had it.
        window: Intensities mapped linearly to [-1, 1] and clipped. One window for all volumes,
            so that a wrong intensity stays visible.
        modality: ``ct`` where the window is in HU, else ``mr``.
        channels: Image channels.
    """

    shape: tuple[int, int, int, int]
    spacing_mm: Spacing
    window: tuple[float, float]
    modality: Literal["ct", "mr"]
    channels: int = 1

    def as_params(self) -> dict[str, Any]:
        """What goes into the result and into cache keys."""
        return asdict(self)

    def __call__(self, volume: Volume) -> npt.NDArray[np.float32]:
        """Bring a volume to (c, t, z, y, x) in [-1, 1]."""
        array = volume.array
        if volume.spacing_known:
            array = _resample(array, volume.spacing_mm, self.spacing_mm)
        array = _fit(array, (array.shape[0], *self.shape), fill=self.window[0])
        low, high = self.window
        scaled = (np.clip(array, low, high) - low) / (high - low) * 2 - 1
        return np.ascontiguousarray(scaled, dtype=np.float32)


def fit_preprocessing(train: Cohort, *, look_at: int = 32) -> Preprocessing:
    """Decide from the training cohort.

    The most common shape and spacing win; an axis longer than 128 is coarsened to 128 voxels. CT
    (minimum below -500) gets a fixed HU window, anything else the 0.5–99.5 percentile range over
    the cohort.

    Args:
        train: Training cohort.
        look_at: Volumes to read, evenly spread.
    """
    picks = np.unique(np.linspace(0, len(train) - 1, min(look_at, len(train))).astype(int))
    shapes: Counter[tuple[int, ...]] = Counter()
    spacings: Counter[Spacing] = Counter()
    lows, highs, minima = [], [], []
    for i in picks:
        image = train[int(i)].image
        shapes[image.shape] += 1
        spacings[tuple(round(s, 4) for s in image.spacing_mm)] += 1  # type: ignore[index]
        lows.append(float(np.percentile(image.array, 0.5)))
        highs.append(float(np.percentile(image.array, 99.5)))
        minima.append(float(image.array.min()))
    c, t, *zyx = shapes.most_common(1)[0][0]
    spacing = spacings.most_common(1)[0][0]
    coarser = [max(1.0, size / MAX_VOXELS_PER_AXIS) for size in zyx]
    z, y, x = (max(1, round(size / f)) for size, f in zip(zyx, coarser, strict=True))
    ct = float(np.median(minima)) < -500
    low, high = CT_WINDOW_HU if ct else (min(lows), max(highs))
    return Preprocessing(
        shape=(t, z, y, x),
        spacing_mm=tuple(s * f for s, f in zip(spacing, coarser, strict=True)),  # type: ignore[arg-type]
        window=(low, high if high > low else low + 1.0),
        modality="ct" if ct else "mr",
        channels=c,
    )


def _resample(
    array: npt.NDArray[np.float32], source: Spacing, target: Spacing
) -> npt.NDArray[np.float32]:
    """Trilinear to the target spacing; area-averaged where it gets coarser."""
    import torch

    size = [
        max(1, round(n * s / t)) for n, s, t in zip(array.shape[2:], source, target, strict=True)
    ]
    if size == list(array.shape[2:]):
        return array
    c, t = array.shape[:2]
    frames = torch.from_numpy(np.ascontiguousarray(array)).reshape(c * t, 1, *array.shape[2:])
    coarser = [min(old, new) for old, new in zip(array.shape[2:], size, strict=True)]
    if coarser != list(array.shape[2:]):
        frames = torch.nn.functional.adaptive_avg_pool3d(frames, tuple(coarser))
    if coarser != size:
        frames = torch.nn.functional.interpolate(
            frames, size=size, mode="trilinear", align_corners=False
        )
    return frames.reshape(c, t, *size).numpy()


def _fit(
    array: npt.NDArray[np.float32], shape: tuple[int, ...], *, fill: float
) -> npt.NDArray[np.float32]:
    """Crop or pad (c, t, z, y, x) about the center; frames are cut or repeated cyclically."""
    t = shape[1]
    if array.shape[1] != t:
        array = array[:, np.arange(t) % array.shape[1]]
    for axis in range(2, 5):
        size, want = array.shape[axis], shape[axis]
        if size > want:
            start = (size - want) // 2
            array = array.take(np.arange(start, start + want), axis=axis)
        elif size < want:
            before = (want - size) // 2
            pad = [(0, 0)] * array.ndim
            pad[axis] = (before, want - size - before)
            array = np.pad(array, pad, constant_values=fill)
    return array
