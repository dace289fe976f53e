"""Radiomic features of zones and neighborhoods, by the definitions and names of the IBSI.

Zone sizes (GLSZM), neighborhood gray-tone differences (NGTDM) and dependences (NGLDM, at coarseness
0; PyRadiomics calls it GLDM), all in 3D with 26 neighbors at distance 1. Intensity, co-occurrence
and run lengths are in ``audit.statistics.radiomics``. Reference: the IBSI manual, arXiv:1612.07003,
whose digital phantom the tests reproduce.
"""

import numpy as np
import numpy.typing as npt

from audit.statistics.radiomics import emphases, padded_levels

FloatArray = npt.NDArray[np.float64]
ZONE_NAMES = (
    "szm_sze", "szm_lze", "szm_lgze", "szm_hgze", "szm_szlge", "szm_szhge", "szm_lzlge",
    "szm_lzhge", "szm_glnu_norm", "szm_zsnu_norm", "szm_gl_var", "szm_zs_var", "szm_zs_entr",
)  # fmt: skip
DEPENDENCE_NAMES = (
    "ngl_lde", "ngl_hde", "ngl_lgce", "ngl_hgce", "ngl_ldlge", "ngl_ldhge", "ngl_hdlge",
    "ngl_hdhge", "ngl_glnu_norm", "ngl_dcnu_norm", "ngl_gl_var", "ngl_dc_var", "ngl_dc_entr",
)  # fmt: skip
FLAT_COARSENESS = 1e6
NEIGHBORHOOD = 27


def zone_features(levels: npt.ArrayLike) -> dict[str, float]:
    """IBSI features (``szm_*``) of the zones of equal gray level.

    Args:
        levels: Gray levels (z, y, x) from 1; 0 is outside.
    """
    from scipy.ndimage import find_objects, label

    image = np.asarray(levels, dtype=np.int64)
    found = find_objects(image)
    kinds, counts = [], []
    for level in np.unique(image[image > 0]):
        box = found[level - 1]
        zones, _ = label(image[box] == level, structure=np.ones((3, 3, 3)))
        sizes, times = np.unique(np.bincount(zones.ravel())[1:], return_counts=True)
        kinds += [(level, size) for size in sizes]
        counts += times.tolist()
    level_of, size_of = np.array(kinds, dtype=np.int64).T
    return {
        **emphases(level_of, size_of, np.array(counts), ZONE_NAMES),
        "szm_z_perc": sum(counts) / int(np.count_nonzero(image)),
    }


def neighborhood_features(levels: npt.ArrayLike) -> dict[str, float]:
    """IBSI features of gray-tone differences (``ngt_*``) and dependences (``ngl_*``).

    Args:
        levels: Gray levels (z, y, x) from 1; 0 is outside.
    """
    image = np.asarray(levels, dtype=np.int64)
    total, around = (_sum_around(x) for x in (image, (image > 0).astype(np.int64)))
    wide, offsets = padded_levels(image)
    flat, alike = wide.astype(np.int16), np.zeros(len(wide), dtype=np.int8)
    for offset in offsets:
        same = flat[:-offset] == flat[offset:]
        alike[:-offset] += same
        alike[offset:] += same
    inside = image > 0
    return {
        **_tone_differences(image[inside], total[inside], around[inside]),
        **_dependences(wide[wide > 0], alike[wide > 0] + np.int64(1)),
    }


def _sum_around(image: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sum over the 26 neighbors of each voxel; nothing outside counts."""
    total = image
    for axis in range(3):
        moved = np.moveaxis(total, axis, 0)
        out = moved.copy()
        out[1:] += moved[:-1]
        out[:-1] += moved[1:]
        total = np.moveaxis(out, 0, axis)
    return total - image


def _tone_differences(
    level: npt.NDArray[np.int64], total: npt.NDArray[np.int64], around: npt.NDArray[np.int64]
) -> dict[str, float]:
    """From each voxel's gray level, the sum of its neighbors' and their number."""
    some = around > 0
    level = level[some]
    away = np.abs(level - total[some] / around[some])
    present, place = np.unique(level, return_inverse=True)
    n, g = len(level), len(present)
    p, s = np.bincount(place) / max(n, 1), np.bincount(place, weights=away)
    gap = np.abs(present[:, None] - present)
    coarse, difference = float(p @ s), float(s.sum())
    weighted, shared = present * p, p[:, None] + p
    busy = float(np.abs(weighted[:, None] - weighted).sum())
    products = (p * s)[:, None] + p * s
    spread = float((p[:, None] * p * gap**2).sum()) / (g * (g - 1)) if g > 1 else 0.0
    return {
        "ngt_coarseness": 1 / coarse if coarse > 0 else FLAT_COARSENESS,
        "ngt_contrast": spread * difference / max(n, 1),
        "ngt_busyness": coarse / busy if busy > 0 else 0.0,
        "ngt_complexity": float((gap * products / shared).sum()) / max(n, 1),
        "ngt_strength": float((shared * gap**2).sum()) / difference if difference > 0 else 0.0,
    }


def _dependences(level: npt.NDArray[np.int64], alike: npt.NDArray[np.int64]) -> dict[str, float]:
    """From each voxel's gray level and how many voxels of it lie in its neighborhood."""
    codes, counts = np.unique(level * (NEIGHBORHOOD + 1) + alike, return_counts=True)
    p = counts / counts.sum()
    found = emphases(*np.divmod(codes, NEIGHBORHOOD + 1), counts, DEPENDENCE_NAMES)
    return {**found, "ngl_dc_energy": float(p @ p)}
