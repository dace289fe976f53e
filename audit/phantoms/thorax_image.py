"""How a phantom thorax looks to a CT scanner: tissue in HU, ribs, vessel tree, texture, noise."""

import numpy as np

from audit.cohort import Case
from audit.phantoms.paint import mix, smooth_field
from audit.phantoms.thorax import (
    AIR,
    BLOOD,
    BONE,
    FAT,
    LIVER,
    MARROW,
    MUSCLE,
    NAMES,
    Array,
    Point,
    Thorax,
    ellipsoid,
    solids,
    truth,
)
from audit.volume import LabelMap, Spacing, Volume


def thorax_case(
    thorax: Thorax, *, id: str, shape: tuple[int, int, int], spacing_mm: Spacing
) -> Case:
    """Draw one patient on a centered grid.

    Args:
        thorax: The patient.
        id: Of the case and its subject.
        shape: Voxels (z, y, x).
        spacing_mm: Of them.
    """
    axes = [
        ((np.arange(n) + 0.5 - n / 2) * s).astype(np.float32)
        for n, s in zip(shape, spacing_mm, strict=True)
    ]
    at = (axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])
    parts = {name: np.broadcast_to(p, shape) for name, p in solids(thorax, at).items()}
    nodule = ellipsoid(at, thorax.nodule_center_mm, (max(thorax.nodule_mm, 1e-3),) * 3)
    rng = np.random.default_rng(thorax.texture_seed)
    image = _paint(thorax, parts, nodule, at, rng, max(spacing_mm))
    return Case(
        id=id,
        subject=id,
        image=Volume(array=image[None, None], spacing_mm=spacing_mm),
        labels=LabelMap(
            array=_label(thorax, parts, nodule)[None], names=NAMES, spacing_mm=spacing_mm
        ),
        group=thorax.group,
        attributes=truth(thorax),
    )


def _label(thorax: Thorax, parts: dict[str, Array], nodule: Array) -> np.ndarray:
    codes = np.where(parts["body"] < 0, NAMES["body"], 0).astype(np.int16)
    for name in ("lung_left", "lung_right", "spine", "aorta", "heart"):
        codes[parts[name] < 0] = NAMES[name]
    if thorax.nodule_mm:
        codes[nodule < 0] = NAMES["nodule"]
    return codes


def _paint(
    thorax: Thorax,
    parts: dict[str, Array],
    nodule: Array,
    at: tuple[Array, Array, Array],
    rng: np.random.Generator,
    voxel_mm: float,
) -> Array:
    """HU (z, y, x) of all tissue with noise."""

    def share(distance: Array) -> Array:
        return np.asarray(np.clip(0.5 - distance / voxel_mm, 0, 1), dtype=np.float32)

    shape = parts["body"].shape
    blood = BLOOD + thorax.contrast_hu
    image = np.full(shape, AIR, dtype=np.float32)
    for name, hu in (("body", FAT), ("flesh", MUSCLE), ("cage", FAT)):
        image = mix(image, hu, share(parts[name]))
    image = mix(image, BONE, _ribs(parts["cage"], at, voxel_mm) * share(parts["flesh"]))
    organs = (("stomach", 30.0), ("bubble", -900.0), ("spleen", 50.0), ("liver", LIVER))
    for name, hu in organs:
        warmer = 0.25 * thorax.contrast_hu if name in ("spleen", "liver") else 0.0
        image = mix(image, hu + warmer, share(parts[name]))
    lungs = np.minimum(parts["lung_left"], parts["lung_right"])
    image = mix(image, _parenchyma(thorax, at, lungs, rng, voxel_mm), share(lungs))
    mediastinum = (("trachea", AIR), ("spine", MARROW), ("canal", 25.0), ("aorta", blood))
    for name, hu in mediastinum:
        image = mix(image, hu, share(parts[name]))
    cortex = 0.5 * np.clip(1 - np.abs(parts["spine"] + 2) / 3, 0, 1).astype(np.float32)
    image = mix(image, BONE, cortex)
    heart = parts["heart"]
    image = mix(image, MUSCLE + 0.3 * thorax.contrast_hu, share(heart))
    image = mix(image, blood, share(_chambers(thorax, at)) * share(heart + 6))
    if thorax.nodule_mm:
        image = mix(image, 30.0 + 0.2 * thorax.contrast_hu, share(nodule))
    return _scan(image, rng)


def _ribs(cage: Array, at: tuple[Array, Array, Array], voxel_mm: float) -> Array:
    """Bands on the rib cage that fall towards the front, and the sternum."""
    z, y, x = at
    level = z + 0.35 * y + 0.10 * np.abs(x)
    across = np.abs((level / 25) % 1 - 0.5) * 25 - 5
    shell = np.abs(cage) - 4
    band = np.maximum(shell, across)
    sternum = np.maximum(np.maximum(np.abs(cage) - 5, np.abs(x) - 14), np.where(y > 0, -90 - z, 99))
    bone = np.minimum(band, sternum)
    return np.clip(0.5 - bone / np.float32(voxel_mm), 0, 1)


def _chambers(thorax: Thorax, at: tuple[Array, Array, Array]) -> Array:
    """Blood pools of the heart: two ventricles and an atrium."""
    center, axes = thorax.heart_center_mm, thorax.heart_axes_mm
    pools = [
        ((-0.15, 0.05, -0.35), (0.48, 0.48, 0.38)),
        ((-0.05, 0.35, 0.30), (0.50, 0.40, 0.42)),
        ((0.42, -0.35, -0.02), (0.36, 0.38, 0.50)),
    ]
    found = [
        ellipsoid(
            at,
            _scaled(axes, shift, center),
            _scaled(axes, size, (0.0, 0.0, 0.0)),
        )
        for shift, size in pools
    ]
    return np.asarray(np.minimum.reduce(found), dtype=np.float32)


def _scaled(axes: Point, by: Point, center: Point) -> Point:
    z, y, x = (c + a * b for c, a, b in zip(center, axes, by, strict=True))
    return z, y, x


def _parenchyma(
    thorax: Thorax,
    at: tuple[Array, Array, Array],
    lungs: Array,
    rng: np.random.Generator,
    voxel_mm: float,
) -> Array:
    """HU of lung tissue: denser towards the back, patchy by disease, with its vessels."""
    shape = lungs.shape
    hu = thorax.lung_hu - 0.25 * at[1] + 14 * smooth_field(rng, shape, cells=12)
    if thorax.group == "EMPHYSEMA":
        hu = hu - 45 * np.clip(smooth_field(rng, shape, cells=9), 0, 2)
    if thorax.group == "FIBROSIS":
        rind = np.clip(1 + lungs / 28, 0, 1) * np.clip((20 - at[0]) / 120, 0, 1)
        hu = hu + 260 * rind * (1 + 0.5 * smooth_field(rng, shape, cells=16))
    weight = _vessels(thorax, at, shape, rng, voxel_mm)
    return mix(np.asarray(hu, dtype=np.float32), BLOOD + thorax.contrast_hu, weight)


def _vessels(
    thorax: Thorax,
    at: tuple[Array, Array, Array],
    shape: tuple[int, ...],
    rng: np.random.Generator,
    voxel_mm: float,
) -> Array:
    """Share of voxels taken by two pulmonary trees that branch from the hila."""
    found = np.zeros(shape, dtype=np.float32)
    for side in (-1.0, 1.0):
        root = np.array([thorax.heart_center_mm[0] + 45, -8.0, side * 26.0])
        out = np.array([-0.1, -0.1, side])
        twigs = [(root, out / np.linalg.norm(out), 40.0, 6.5)]
        twigs += [(root, _heading(rng, side), 44.0, 5.5) for _ in range(3)]
        for _ in range(5):
            twigs = [t for twig in twigs for t in _grow(found, at, twig, rng, voxel_mm)]
    return found


def _heading(rng: np.random.Generator, side: float) -> np.ndarray:
    out = rng.normal((0, 0, side), (1.0, 0.6, 0.15))
    return np.asarray(out / np.linalg.norm(out))


def _grow(
    found: Array,
    at: tuple[Array, Array, Array],
    twig: tuple[np.ndarray, np.ndarray, float, float],
    rng: np.random.Generator,
    voxel_mm: float,
) -> list[tuple[np.ndarray, np.ndarray, float, float]]:
    """Draw one twig into the tree, within its bounding box, and return its two children."""
    start, heading, length, radius = twig
    end = start + heading * length
    box = []
    for axis, (a, b) in zip(at, zip(start, end, strict=True), strict=True):
        line = axis.ravel()
        reach = radius + voxel_mm
        first, last = np.searchsorted(line, [min(a, b) - reach, max(a, b) + reach])
        box.append(slice(int(first), int(last)))
    local = [
        (axis.ravel()[b]).reshape(_along(i))
        for i, (axis, b) in enumerate(zip(at, box, strict=True))
    ]
    offset = [c - np.float32(s) for c, s in zip(local, start, strict=True)]
    along = np.clip(sum(o * np.float32(h) for o, h in zip(offset, heading, strict=True)), 0, length)
    squared = sum((o - along * np.float32(h)) ** 2 for o, h in zip(offset, heading, strict=True))
    # A vessel thinner than a voxel fills only its cross-section's share of it.
    fill = min(1.0, np.pi * radius**2 / voxel_mm**2)
    weight = fill * np.clip(0.5 - (np.sqrt(squared) - max(radius, voxel_mm / 2)) / voxel_mm, 0, 1)
    region = found[tuple(box)]
    np.maximum(region, weight.astype(np.float32), out=region)
    children = []
    for _ in range(2):
        turned = heading + rng.normal(0, 0.55, 3)
        turned /= np.linalg.norm(turned)
        children.append((end, turned, length * rng.uniform(0.68, 0.85), radius * 0.78))
    return children


def _along(axis: int) -> tuple[int, ...]:
    return tuple(-1 if i == axis else 1 for i in range(3))


def _scan(image: Array, rng: np.random.Generator) -> Array:
    """Add detector noise: white plus correlated, in whole HU, clipped as scanners do."""
    from scipy.ndimage import gaussian_filter

    white = rng.standard_normal((2, *image.shape), dtype=np.float32)
    correlated = gaussian_filter(white[1], (0, 0.8, 0.8))
    sd = rng.uniform(9, 16)
    noisy = image + sd * (0.6 * white[0] + 0.8 * correlated / correlated.std())
    return np.clip(np.round(noisy), -1024, 3071).astype(np.float32)
