"""One thorax CT: organs as smooth solids in mm, painted in HU with partial-volume edges.

Coordinates (z, y, x) in mm about the center of the field: z up, y to the front, x to the patient's
right, so the heart's apex points to negative x. Every structure is a signed distance, negative
inside; its share of a voxel is a linear ramp one voxel wide.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Point = tuple[float, float, float]

NAMES = {
    "body": 1,
    "lung_left": 2,
    "lung_right": 3,
    "heart": 4,
    "aorta": 5,
    "spine": 6,
    "nodule": 7,
}
GROUPS = ("NORMAL", "EMPHYSEMA", "FIBROSIS")
FIELD_MM = (320.0, 352.0, 352.0)

AIR, FAT, MUSCLE, BLOOD, BONE, MARROW, LIVER = -1000.0, -95.0, 50.0, 42.0, 620.0, 180.0, 60.0
# Mean and SD of lung parenchyma in HU at full inspiration, by group.
LUNG_HU = {"NORMAL": (-845.0, 15.0), "EMPHYSEMA": (-925.0, 12.0), "FIBROSIS": (-750.0, 25.0)}


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """Anatomy of one patient.

    Attributes:
        group: Pathology of the lung.
        female: Breasts, smaller frame.
        contrast_hu: HU added to blood by a contrast agent; 0 in a plain scan.
        half_width_mm: Half the chest's width (x).
        half_depth_mm: Half its depth (y).
        fat_mm: Thickness of the fat under the skin.
        lung_hu: Parenchyma.
        diaphragm_mm: Height of the dome's top below the center (left, right).
        heart_axes_mm: Half axes of the heart (z, y, x).
        heart_center_mm: Its center (z, y, x).
        aorta_mm: Radius of the aorta.
        nodule_mm: Radius of the nodule; 0 where there is none.
        nodule_center_mm: Its center (z, y, x).
        curve_mm: Sideways bend of the spine.
        texture_seed: Seed of vessels, texture and noise.
    """

    group: str
    female: bool
    contrast_hu: float
    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    lung_hu: float
    diaphragm_mm: tuple[float, float]
    heart_axes_mm: Point
    heart_center_mm: Point
    aorta_mm: float
    nodule_mm: float
    nodule_center_mm: Point
    curve_mm: float
    texture_seed: int


def draw_thorax(rng: np.random.Generator, group: str, *, nodules: bool) -> Thorax:
    """Draw one patient: two sexes, plain or contrast scan, three states of the lung."""

    def normal(mean: float, sd: float) -> float:
        return float(mean + sd * np.clip(rng.standard_normal(), -2, 2))

    female = bool(rng.random() < 0.5)
    contrast = normal(210, 30) if rng.random() < 0.5 else 0.0
    barrel = group == "EMPHYSEMA"
    width, depth = normal(138 if female else 150, 6), normal(98 if barrel else 88, 4)
    flat = {"EMPHYSEMA": -18.0, "FIBROSIS": 14.0}.get(group, 0.0)
    right = normal(-62, 8) + flat
    side = 1.0 if rng.random() < 0.55 else -1.0
    return Thorax(
        group=group,
        female=female,
        contrast_hu=contrast,
        half_width_mm=width,
        half_depth_mm=depth,
        fat_mm=float(np.exp(normal(np.log(11), 0.35))),
        lung_hu=normal(*LUNG_HU[group]),
        diaphragm_mm=(right - normal(12, 3), right),
        heart_axes_mm=(normal(52, 4), normal(42, 3), normal(52 if female else 56, 4)),
        heart_center_mm=(normal(-40, 5), normal(20, 3), normal(-22, 4)),
        aorta_mm=normal(13.5, 1.3),
        nodule_mm=normal(13, 3) if nodules and rng.random() < 0.5 else 0.0,
        nodule_center_mm=(normal(30, 12), normal(-8, 12), side * normal(0.56, 0.03) * width),
        curve_mm=normal(0, 4),
        texture_seed=int(rng.integers(2**31)),
    )


def truth(thorax: Thorax) -> dict[str, float]:
    """Analytic measures of the thorax, as ``Case.attributes``."""
    found = {
        "heart_ml": 4 / 3 * np.pi * float(np.prod(thorax.heart_axes_mm)) / 1000,
        "aorta_diameter_mm": 2 * thorax.aorta_mm,
        "lung_hu": thorax.lung_hu,
        "contrast_hu": thorax.contrast_hu,
        "female": float(thorax.female),
    }
    if thorax.nodule_mm:
        found |= {
            "nodule_ml": 4 / 3 * np.pi * thorax.nodule_mm**3 / 1000,
            "nodule_diameter_mm": 2 * thorax.nodule_mm,
        }
    return found


def ellipsoid(at: tuple[Array, Array, Array], center: Point, axes: Point) -> Array:
    """Approximate signed distance in mm to an ellipsoid; its zero is exact."""
    p = [(a - np.float32(c)) / np.float32(r) for a, c, r in zip(at, center, axes, strict=True)]
    norm = np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2)
    slope = np.sqrt(sum((q / np.float32(r)) ** 2 for q, r in zip(p, axes, strict=True)))
    return np.asarray(norm * (norm - 1) / np.maximum(slope, 1e-6), dtype=np.float32)


def tube(at: tuple[Array, Array, Array], path: list[Point], radius: float) -> Array:
    """Signed distance in mm to a tube along a polyline."""
    best: Array | None = None
    for a, b in pairwise(path):
        step = [q - p for p, q in zip(a, b, strict=True)]
        length2 = max(sum(s * s for s in step), 1e-6)
        along = sum(
            (c - np.float32(p)) * np.float32(s) for c, p, s in zip(at, a, step, strict=True)
        )
        share = np.clip(along / np.float32(length2), 0, 1)
        squared = sum(
            (c - np.float32(p) - share * np.float32(s)) ** 2
            for c, p, s in zip(at, a, step, strict=True)
        )
        best = np.asarray(squared) if best is None else np.minimum(best, squared)
    assert best is not None
    return np.asarray(np.sqrt(best) - np.float32(radius), dtype=np.float32)


def solids(thorax: Thorax, at: tuple[Array, Array, Array]) -> dict[str, Array]:
    """Signed distances in mm of all structures (z, y, x)."""
    z, y, x = at
    w, d = thorax.half_width_mm, thorax.half_depth_mm
    shoulders = np.clip((z - 90) / 70, 0, 1) ** 2
    # A rounded box in cross-section, narrower towards the neck.
    norm = (
        np.abs(x / (w + 26 - 45 * shoulders)) ** 2.6 + np.abs(y / (d + 22 - 12 * shoulders)) ** 2.6
    ) ** np.float32(1 / 2.6)
    body = (norm - 1) * np.float32(d + 10)
    if thorax.female:
        for side in (-1, 1):
            breast = ellipsoid(at, (-5, d + 12, side * 0.5 * w), (48, 34, 46))
            body = np.minimum(body, breast)
    cage = np.maximum(
        ellipsoid(at, (-45, 2, 0), (190, d + 4, w + 4)),
        (norm - 1) * np.float32(d + 10) + np.float32(thorax.fat_mm + 8),
    )
    heart = ellipsoid(at, thorax.heart_center_mm, thorax.heart_axes_mm)
    spine_x = np.float32(thorax.curve_mm) * np.sin(z / 70)
    vertebra = np.hypot((x - spine_x) / 1.2, y + d - 22) - 16
    canal = np.hypot(x - spine_x, y + d + 4) - 8
    process = np.maximum(np.abs(x - spine_x) - 5, np.maximum(y + d - 2, -(y + d + 22)))
    spine = np.minimum(vertebra, np.minimum(process, np.hypot(x - spine_x, y + d + 4) - 14))
    return {
        "body": body,
        "flesh": body + np.float32(thorax.fat_mm),
        "cage": cage,
        "heart": heart,
        "spine": spine,
        "canal": canal,
        "aorta": tube(at, _aorta_path(thorax), thorax.aorta_mm),
        "trachea": _airways(thorax, at),
        **_lungs(thorax, at, cage),
        **_below(thorax, at, cage),
    }


def _aorta_path(thorax: Thorax) -> list[Point]:
    hz, hy, _ = thorax.heart_center_mm
    back = -thorax.half_depth_mm + 46
    top = hz + thorax.heart_axes_mm[0] + 36
    return [
        (hz + 25, hy, 6.0),
        (top - 26, hy + 4, 16.0),
        (top - 6, hy - 6, 10.0),
        (top, (hy + back) / 2, -6.0),
        (top - 10, back + 8, -18.0),
        (top - 40, back, -24.0),
        (-175.0, back, -12.0),
    ]


def _airways(thorax: Thorax, at: tuple[Array, Array, Array]) -> Array:
    y = -thorax.half_depth_mm + 66
    carina = thorax.heart_center_mm[0] + thorax.heart_axes_mm[0] + 10
    trunk = tube(at, [(180.0, y - 6, 2.0), (carina, y, 2.0)], 9.0)
    for side in (-1.0, 1.0):
        branch = tube(at, [(carina, y, 2.0), (carina - 26, y - 4, side * 44)], 6.0)
        trunk = np.minimum(trunk, branch)
    return trunk


def _lungs(thorax: Thorax, at: tuple[Array, Array, Array], cage: Array) -> dict[str, Array]:
    z, y, x = at
    w, d = thorax.half_width_mm, thorax.half_depth_mm
    found = {}
    for name, side, dome in zip(
        ("lung_left", "lung_right"), (-1, 1), thorax.diaphragm_mm, strict=True
    ):
        center = side * 0.52 * w
        lung = ellipsoid(at, (-30, -4, center), (168, d - 4, 0.47 * w))
        fall = ((x - center) / 75) ** 2 + ((y - 5) / 80) ** 2
        floor = np.float32(dome) - 38 * fall - z
        lung = np.maximum(np.maximum(lung, floor), cage + 9)
        found[name] = np.asarray(lung, dtype=np.float32)
    return found


def _below(thorax: Thorax, at: tuple[Array, Array, Array], cage: Array) -> dict[str, Array]:
    left, right = thorax.diaphragm_mm
    w = thorax.half_width_mm
    liver = ellipsoid(at, (right - 95, 5, 0.42 * w), (93, 82, 0.68 * w))
    spleen = ellipsoid(at, (left - 60, -38, -0.66 * w), (48, 36, 30))
    stomach = ellipsoid(at, (left - 62, 22, -0.46 * w), (48, 40, 40))
    bubble = ellipsoid(at, (left - 44, 36, -0.46 * w), (22, 20, 28))
    inside = {"liver": liver, "spleen": spleen, "stomach": stomach, "bubble": bubble}
    return {name: np.maximum(solid, cage + 7) for name, solid in inside.items()}
