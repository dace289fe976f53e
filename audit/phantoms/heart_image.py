"""How a phantom heart looks to a cine scan: tissue, bias field, Rician noise."""

import numpy as np
import numpy.typing as npt

from audit.cohort import Case
from audit.phantoms.heart import NAMES, Heart, ejected_share, truth
from audit.phantoms.heart_shape import Grid, grid_of, label, occupancy, shape_at
from audit.phantoms.paint import mix, smooth_field
from audit.volume import LabelMap, Spacing, Volume

Array = npt.NDArray[np.float32]

# Signal relative to blood, which SSFP shows brightest together with fat.
BLOOD, FAT, WALL, LUNG, LIVER, MUSCLE = 1.0, 0.92, 0.30, 0.08, 0.42, 0.28
SCALE = 400.0


def heart_case(
    heart: Heart,
    *,
    id: str,
    shape: tuple[int, int, int],
    spacing_mm: Spacing,
    frames: int,
) -> Case:
    """Draw one patient on a grid centered on the heart.

    Args:
        heart: The patient.
        id: Of the case and its subject.
        shape: Voxels (z, y, x).
        spacing_mm: Of them.
        frames: Frames over one beat, the first at ED.
    """
    grid = grid_of(heart, shape, spacing_mm)
    scene = Scene(heart, grid, shape)
    images, labels = [], []
    for ejected in ejected_share(heart, frames):
        parts = occupancy(grid, heart, shape_at(heart, float(ejected)))
        labels.append(label(parts, grid.split))
        images.append(scene.frame(parts))
    frame_ms = heart.cycle_ms / frames if frames > 1 else None
    volume = Volume(
        array=scene.acquire(np.stack(images))[None], spacing_mm=spacing_mm, frame_ms=frame_ms
    )
    return Case(
        id=id,
        subject=id,
        image=volume,
        labels=LabelMap(
            array=np.stack(labels), names=NAMES, spacing_mm=spacing_mm, frame_ms=frame_ms
        ),
        group=heart.group,
        attributes=truth(heart, frames),
    )


class Scene:
    """The surroundings of one heart, drawn once and used by all frames."""

    def __init__(self, heart: Heart, grid: Grid, shape: tuple[int, int, int]) -> None:
        self.rng = np.random.default_rng(heart.texture_seed)
        self.grid, self.shape, self.heart = grid, shape, heart
        y, x = grid.position
        self.around = self._tissue(y, x, grid.level)
        self.papillary = self._papillary()
        self.grain = smooth_field(self.rng, shape, cells=7)
        self.bias = self._bias()

    def _soft(self, distance: Array) -> Array:
        return np.clip(0.5 - distance / np.float32(self.grid.voxel_mm), 0, 1)

    def _tissue(self, y: Array, x: Array, z: Array) -> Array:
        """Lungs, chest wall, liver, spine side and descending aorta (z·k, y, x)."""
        fat, wall, dome, back = self.rng.normal((7, 58, -24, -60), (2, 4, 6, 4)).tolist()
        full = np.broadcast_arrays(x + y + z)[0].shape
        tissue = np.full(full, LUNG, dtype=np.float32)
        liver = np.hypot(np.hypot((x - 15) / 1.5, y / 1.1), z + 95) - (95 + dome)
        tissue = mix(tissue, LIVER, self._soft(liver))
        ribcage = np.hypot(x * 0.75, y) - wall
        tissue = mix(tissue, MUSCLE, self._soft(-ribcage))
        tissue = mix(tissue, FAT, self._soft(5 - ribcage))
        tissue = mix(tissue, MUSCLE, self._soft(5 + fat - ribcage))
        aorta = np.hypot(x + 36, y - back * 0.86) - 11
        tissue = mix(tissue, MUSCLE, self._soft(aorta - 3))
        return mix(tissue, BLOOD, self._soft(aorta))

    def _papillary(self) -> list[tuple[float, float, float]]:
        """Angle, share of the cavity radius and thickness in mm of two papillary muscles."""
        first, second = self.rng.normal((2.4, -1.7), 0.2)
        return [(float(a), 0.62, float(self.rng.uniform(3.4, 4.6))) for a in (first, second)]

    def _bias(self) -> Array:
        """Receive field of a surface coil on the chest (z, y, x), about 1."""
        z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in self.shape)
        slope = self.rng.normal((0.0, 0.12, 0.0, -0.05), (0.05, 0.06, 0.08, 0.04)).tolist()
        plane = slope[0] * z[:, None, None] + slope[1] * y[None, :, None] + slope[2] * x
        return np.exp(plane + slope[3] * (x**2 + y[None, :, None] ** 2)).astype(np.float32)

    def frame(self, parts: dict[str, Array]) -> Array:
        """Noise-free signal of one frame (z, y, x)."""
        grid, level = self.grid, parts["level"]
        # Pericardial fat around both ventricles, then the RV wall, its blood, the LV.
        signal = mix(self.around, FAT * 0.8, parts["pericardium"])
        signal = mix(signal, WALL, parts["right_wall"])
        signal = mix(signal, BLOOD, parts["right"])
        bundles = np.sin(9 * grid.angle) * np.sin(grid.height * 0.55)
        trabecular = np.clip(bundles, 0, 1) * (parts["right"] - parts["epicardium"])
        signal = mix(signal, WALL, 0.35 * trabecular)
        signal = mix(signal, WALL, parts["epicardium"])
        signal = mix(signal, BLOOD, parts["lv"])
        signal = mix(signal, WALL, self._muscles(parts["lv"]))
        signal = mix(signal, BLOOD, self._atria(level))
        k = grid.split
        return signal.reshape(-1, k, *signal.shape[1:]).mean(axis=1)

    def _muscles(self, lv: Array) -> Array:
        """Papillary muscles in the middle third: dark in the image, cavity in the label."""
        grid = self.grid
        share = grid.height / np.float32(self.heart.length_mm)
        middle = np.clip(8 * (share - 0.28), 0, 1) * np.clip(8 * (0.68 - share), 0, 1)
        reach = np.sqrt(np.maximum(lv.sum(axis=(1, 2), keepdims=True), 1) / np.pi) * grid.voxel_mm
        found = np.zeros_like(lv)
        for angle, radius, thickness in self.papillary:
            square = (
                grid.radius**2
                - 2 * grid.radius * radius * reach * np.cos(grid.angle - angle)
                + (radius * reach) ** 2
            )
            away = np.sqrt(np.maximum(square, 0))  # rounding may go below 0 at the muscle's center
            found = np.maximum(found, self._soft(away - np.minimum(thickness, 0.2 * reach)))
        return found * middle * lv * 0.9

    def _atria(self, level: Array) -> Array:
        """Left atrium and outflow tract above the base, so that the base plane is not a cliff."""
        grid = self.grid
        left = self._soft(grid.radius - 19)
        right_at = 36.0
        right = self._soft(
            np.sqrt(
                grid.radius**2
                - 2 * grid.radius * right_at * np.cos(grid.angle - self.heart.septum_rad)
                + right_at**2
            )
            - 17
        )
        return np.maximum(left, right) * (1 - level)

    def acquire(self, frames: Array) -> Array:
        """Add tissue grain, bias field and Rician noise to frames (t, z, y, x)."""
        sigma = self.rng.uniform(0.02, 0.035)
        signal = frames * (1 + 0.06 * self.grain) * self.bias
        real, imaginary = self.rng.standard_normal((2, *frames.shape), dtype=np.float32) * sigma
        gain = self.rng.uniform(0.85, 1.15)
        return (SCALE * gain * np.hypot(signal + real, imaginary)).astype(np.float32)
