"""What several metrics measure on each volume itself: one pass over the files, cached by content.

Each volume gives one row: intensity distribution, power spectrum along each axis, similarity of
adjacent slices and frames, smoothness and closure of motion. Rows are sliced by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.extractor import Encoder
from audit.features.by_role import rows_by_role
from audit.features.motion import cycle_closure, motion_roughness
from audit.statistics.ssim import LEAST_SIZE, ms_ssim

FloatArray = npt.NDArray[np.float64]
VERSION = 1
INTENSITY_BINS = 256
SPECTRUM_BINS = 16
SIMILARITIES = ("pearson", "mad", "ms_ssim")
AXES = ("t", "z", "y", "x")
SIZES = {
    "intensity": INTENSITY_BINS,
    **{f"spectrum_{axis}": SPECTRUM_BINS for axis in AXES},
    "adjacent_z": len(SIMILARITIES),
    "adjacent_t": len(SIMILARITIES),
    "roughness": 1,
    "closure": 1,
}


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """Rows (n, d) of one descriptor in every role."""

    train: FloatArray
    holdout: FloatArray
    synthetic: FloatArray

    def as_rows(self, column: int | None = None) -> dict[str, FloatArray]:
        """By role; one column (n, 1) where asked for."""
        roles = {"train": self.train, "holdout": self.holdout, "synthetic": self.synthetic}
        return roles if column is None else {k: v[:, [column]] for k, v in roles.items()}


def describe(comparison: Comparison, name: str) -> Descriptors:
    """One descriptor of all volumes.

    Args:
        comparison: The cohorts.
        name: Key of ``SIZES``.

    Raises:
        NotComputable: The volumes have no such axis, or it is too short.
    """
    _refuse_short_axis(comparison.preprocessing.shape, name)
    rows = comparison.once("descriptors", lambda: _describe_all(comparison))
    start = 0
    for key, size in SIZES.items():
        if key == name:
            break
        start += size
    return Descriptors(**{role: v[:, start : start + SIZES[name]] for role, v in rows.items()})


def describe_volume(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """All descriptors of one volume (c, t, z, y, x) in [-1, 1]; zeros for axes it lacks."""
    image = volume.mean(axis=0)
    parts: dict[str, npt.ArrayLike] = {"intensity": _distribution(volume)}
    for i, axis in enumerate(AXES):
        if image.shape[i] >= LEAST_SIZE:
            parts[f"spectrum_{axis}"] = power_spectrum(image, i)
    if image.shape[1] >= 2:
        parts["adjacent_z"] = _adjacent_slices(image)
    if image.shape[0] >= LEAST_SIZE:
        parts["adjacent_t"] = _adjacent_frames(image)
        parts["roughness"] = [motion_roughness(image)]
        parts["closure"] = [cycle_closure(image)]
    row = [np.asarray(parts.get(k, np.zeros(size)), dtype=np.float32) for k, size in SIZES.items()]
    return np.concatenate(row)


def power_spectrum(image: npt.NDArray[np.float32], axis: int) -> FloatArray:
    """Log10 power at 16 frequencies from 0 to Nyquist along one axis, averaged over the others.

    Args:
        image: Intensities (t, z, y, x).
        axis: Which of the four.
    """
    size = image.shape[axis]
    centered = image - image.mean(axis=axis, keepdims=True)
    taper = np.hanning(size + 2)[1:-1].reshape([-1 if a == axis else 1 for a in range(4)])
    # Frames form a closed cycle; the ends of a field of view do not, and would leak.
    spectrum = np.fft.rfft(centered if axis == 0 else centered * taper, axis=axis)
    power = (np.abs(spectrum) ** 2).mean(axis=tuple(a for a in range(4) if a != axis)) / size
    place = np.linspace(0, len(power) - 1, SPECTRUM_BINS + 1)[1:]
    return np.interp(place, np.arange(len(power)), np.log10(power + 1e-8))


def _distribution(volume: npt.NDArray[np.float32]) -> FloatArray:
    """Share of voxels at most each of 256 levels of the window."""
    levels = np.clip((volume + 1) * (INTENSITY_BINS / 2), 0, INTENSITY_BINS - 1).astype(np.int64)
    return np.cumsum(np.bincount(levels.ravel(), minlength=INTENSITY_BINS)) / levels.size


def _adjacent_slices(image: npt.NDArray[np.float32]) -> FloatArray:
    """Mean Pearson, MAD and MS-SSIM of neighbors along z."""
    below, above = (s.reshape(-1, *image.shape[2:]) for s in (image[:, :-1], image[:, 1:]))
    return _similarity(below, above)


def _adjacent_frames(image: npt.NDArray[np.float32]) -> FloatArray:
    """The same of neighbors along t, the last and the first among them."""
    return _similarity(image, np.roll(image, -1, axis=0))


def _similarity(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> FloatArray:
    flat_a, flat_b = (s.reshape(len(s), -1).astype(np.float64) for s in (a, b))
    mad = np.abs(flat_a - flat_b).mean()
    x, y = (s - s.mean(axis=1, keepdims=True) for s in (flat_a, flat_b))
    sizes = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    # A pair with an empty slice has no correlation; it is 1 where both are flat, else 0.
    flat = sizes < 1e-9
    alike = (np.abs(x).max(1) < 1e-6) & (np.abs(y).max(1) < 1e-6)
    pearson = np.where(flat, alike.astype(float), (x * y).sum(1) / np.where(flat, 1.0, sizes))
    if max(a.shape[1:]) < LEAST_SIZE:
        return np.array([pearson.mean(), mad, 0.0])
    shape = [len(a), *(size for size in a.shape[1:] if size > 1)]
    return np.array([pearson.mean(), mad, ms_ssim(a.reshape(shape), b.reshape(shape)).mean()])


def _describe_all(comparison: Comparison) -> Mapping[str, FloatArray]:
    encoder = Encoder(
        embed=lambda volumes: np.stack([describe_volume(v) for v in volumes]),
        key=key_of(descriptors=VERSION, sizes=SIZES),
        batch_size=1,
    )
    rows = rows_by_role(comparison, "descriptors", encoder)
    return {role: r.astype(np.float64) for role, r in rows.items()}


def _refuse_short_axis(shape: tuple[int, ...], name: str) -> None:
    least = 2 if name == "adjacent_z" else LEAST_SIZE
    axis = {"roughness": "t", "closure": "t"}.get(name, name.rpartition("_")[2])
    if axis in AXES and shape[AXES.index(axis)] < least:
        raise NotComputable(f"{shape[AXES.index(axis)]} voxels along {axis}", f"at least {least}")
