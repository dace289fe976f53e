"""The beating shape of one phantom heart, whose volumes are known in closed form.

Geometry (all lengths in mm, z along the long axis, apex low, base high, RV to +x): the left
ventricle is a pair of half prolate ellipsoids that share a flat base plane. The epicardial apex
stands still, so that shortening pulls the base down through the slices. The endocardial volume
follows a volume–time curve; the epicardial volume is that plus a constant wall (incompressible
myocardium), which fixes both radii in every frame. The RV cavity is a crescent on the septum whose
height over the epicardium is ``H cos²`` of the angle: its area, hence its volume, is a quadratic
in H. In-plane stretching, drift of the axis and tilt of the base are shears that preserve volume,
so all volumes stay exact; the tilt lets the base cross slices gradually, as in patients.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.phantoms.heart import DENSITY_G_PER_ML, Heart
from audit.volume import Spacing

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The ventricles in one frame; lengths in mm, ``base`` above the epicardial apex."""

    base: float
    inner_length: float
    inner_radius: float
    outer_radius: float
    rv_length: float
    rv_height: float
    eccentricity: float


def shape_at(heart: Heart, ejected: float) -> Shape:
    """Solve the geometry that holds the volumes at one moment.

    Args:
        heart: The patient.
        ejected: Share of the stroke volume that is out.
    """
    cavity = heart.lv_edv_ml - ejected * (heart.lv_edv_ml - heart.lv_esv_ml)
    right = heart.rv_edv_ml - ejected * (heart.rv_edv_ml - heart.rv_esv_ml)
    outer = cavity + heart.lv_mass_g / DENSITY_G_PER_ML
    length = heart.length_mm * (1 - heart.shortening * ejected)
    # The apical wall keeps its share of the wall: thickness ~ wall volume over surface.
    apex = 0.085 * length * (1 + 0.3 * ejected) * np.sqrt(heart.lv_mass_g / heart.lv_edv_ml)
    inner_length = length - float(apex)
    # V = 2/3 π r² L of a half ellipsoid; 1 mL = 1000 mm³.
    inner = float(np.sqrt(1500 * cavity / (np.pi * inner_length)))
    epicardium = float(np.sqrt(1500 * outer / (np.pi * length)))
    rv_length = 0.86 * length
    return Shape(
        base=length,
        inner_length=inner_length,
        inner_radius=inner,
        outer_radius=epicardium,
        rv_length=rv_length,
        rv_height=_rv_height(1000 * right, epicardium, length, rv_length, heart.spread_rad),
        eccentricity=heart.akinesia * (0.25 + 0.75 * ejected),
    )


def _rv_height(
    volume_mm3: float, radius: float, length: float, rv_length: float, spread: float
) -> float:
    # Area at depth w: b H ∫cos² + H²/2 ∫cos⁴ = b H Θ + 3/8 H² Θ; both profiles are elliptic in w.
    nodes, weights = np.polynomial.legendre.leggauss(64)
    depth = (nodes + 1) / 2
    rv_profile = np.sqrt(1 - depth**2)
    lv_profile = np.sqrt(1 - (depth * rv_length / length) ** 2)
    linear = spread * radius * rv_length * float(weights @ (rv_profile * lv_profile)) / 2
    square = 0.375 * spread * rv_length * 2 / 3
    return float((-linear + np.sqrt(linear**2 + 4 * square * volume_mm3)) / (2 * square))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Sample points of one heart: slices are split so that thick ones average what they cut.

    Attributes:
        radius: Distance from the LV axis in mm (z·k, y, x).
        angle: Angle about it, 0 towards +x, in radians.
        height: Height over the epicardial apex in mm (z·k, y, x), along the tilted axis.
        level: Height over the field's center in mm (z·k, 1, 1).
        position: (y, x) about the field's center in mm, each (1, y or 1, x or 1).
        split: Samples per slice, k.
        step_mm: Distance of samples along z.
        voxel_mm: In-plane voxel size.
    """

    radius: Array
    angle: Array
    height: Array
    level: Array
    position: tuple[Array, Array]
    split: int
    step_mm: float
    voxel_mm: float


def grid_of(heart: Heart, shape: tuple[int, int, int], spacing_mm: Spacing) -> Grid:
    """Where the voxels (z, y, x) of a centered field lie in the heart's own coordinates."""
    split = max(1, int(np.ceil(spacing_mm[0] / 3)))
    z = (np.arange(shape[0] * split) + 0.5) / split * spacing_mm[0]
    level = (z - shape[0] * spacing_mm[0] / 2).astype(np.float32)[:, None, None]
    y, x = (
        ((np.arange(n) + 0.5 - n / 2) * s).astype(np.float32)
        for n, s in zip(shape[1:], spacing_mm[1:], strict=True)
    )
    y, x = y[None, :, None], x[None, None, :]
    stretch, drift = np.float32(heart.stretch), np.asarray(heart.shear, dtype=np.float32)
    dy = (y - np.float32(heart.center_mm[0]) - drift[0] * level) * stretch
    dx = (x - np.float32(heart.center_mm[1]) - drift[1] * level) / stretch
    return Grid(
        radius=np.hypot(dy, dx),
        angle=np.arctan2(dy, dx),
        height=level + np.float32(heart.length_mm / 2) - _tilted(heart, dy, dx),
        level=level,
        position=(y, x),
        split=split,
        step_mm=spacing_mm[0] / split,
        voxel_mm=float(min(spacing_mm[1:])),
    )


def _tilted(heart: Heart, dy: Array, dx: Array) -> Array:
    return np.asarray(
        np.float32(heart.tilt[0]) * dy + np.float32(heart.tilt[1]) * dx, dtype=np.float32
    )


def occupancy(grid: Grid, heart: Heart, shape: Shape) -> dict[str, Array]:
    """Share of each sample (z·k, y, x) that lies in a structure, 0 to 1.

    Each part includes what it encloses: ``lv`` < ``epicardium`` < ``right`` < ``right_wall`` <
    ``pericardium`` < ``level`` (all below the base plane).
    """
    depth = shape.base - grid.height
    below = np.clip(0.5 + depth / np.float32(grid.step_mm), 0, 1).astype(np.float32)

    def profile(length: float) -> Array:
        return np.sqrt(np.clip(1 - (depth / np.float32(length)) ** 2, 0, 1))

    epicardial = np.float32(shape.outer_radius) * profile(shape.base)
    inner = np.float32(shape.inner_radius) * profile(shape.inner_length)
    # An akinetic wall stays thin: the cavity moves towards it inside the epicardium.
    offset = np.float32(shape.eccentricity) * (epicardial - inner)
    towards = grid.radius * np.cos(grid.angle - np.float32(heart.infarct_rad))
    from_cavity = np.sqrt(np.maximum(grid.radius**2 - 2 * offset * towards + offset**2, 0))
    bearing = np.angle(np.exp(1j * (grid.angle - heart.septum_rad))).astype(np.float32)
    window = np.where(
        np.abs(bearing) < heart.spread_rad,
        np.cos(np.pi / 2 * bearing / np.float32(heart.spread_rad)) ** 2,
        np.float32(0),
    )
    crest = epicardial + window * np.float32(shape.rv_height) * profile(shape.rv_length)
    outside = crest + np.float32(3.0) * (window > 0.02)

    def inside(distance: Array, radius: Array) -> Array:
        soft = np.clip(0.5 + (radius - distance) / np.float32(grid.voxel_mm), 0, 1)
        return np.asarray(np.where(radius > 0, soft, 0), dtype=np.float32)

    return {
        "level": below,
        "lv": inside(from_cavity, inner) * below,
        "epicardium": inside(grid.radius, epicardial) * below,
        "right": inside(grid.radius, crest) * below,
        "right_wall": inside(grid.radius, outside) * below,
        "pericardium": inside(grid.radius, (outside + np.float32(3.5)) * (outside > 0)) * below,
    }


def label(parts: dict[str, Array], split: int) -> npt.NDArray[np.int16]:
    """Label codes (z, y, x): the structure that fills most of the voxel."""
    lv, epicardium, right = (_slices(parts[n], split) for n in ("lv", "epicardium", "right"))
    shares = np.stack([1 - right, right - epicardium, epicardium - lv, lv])
    return shares.argmax(axis=0).astype(np.int16)


def _slices(samples: Array, split: int) -> Array:
    return samples.reshape(-1, split, *samples.shape[1:]).mean(axis=1)
