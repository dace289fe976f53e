"""Wall thickness of the left ventricle by AHA segment, from a short-axis label map.

The ventricle is cut into thirds from base to apex and, about its center in each slice, into sectors
of 60° (basal, mid) or 90° (apical). Zero angle points to the right ventricle, that is the middle
of the septum; the anterior side is the one toward +y (RAS). In a sector of angle φ with cavity area
C and wall area W, the thickness is √(2(C + W)/φ) − √(2C/φ): exact for circles, and finer than a
voxel because areas are counted instead of edges.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.heart.cine import Cycle, Value, value_of
from audit.volume import LabelMap

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SEGMENTS = 16
SIXTHS = (4, 3, 2, 1, 0, 5)
"""Wall of each sixth of the circle from −180°, where 0° is mid septum and 90° anterior.

0 anterior, 1 anteroseptal, 2 inferoseptal, 3 inferior, 4 inferolateral, 5 anterolateral.
"""
QUARTERS = (2, 1, 0, 3)
"""Wall of each quarter from −135°: 0 anterior, 1 septal, 2 inferior, 3 lateral."""


def wall_quantities(cycle: Cycle, labels: LabelMap) -> dict[str, Value]:
    """Thickness at ED and thickening to ES, of the whole wall and by segment.

    ``wall_thickness_mm`` and ``wall_thickening_percent`` are means over whole rings;
    ``wall_thickness_aha01_mm`` to ``aha16`` are the segments of the American Heart Association.

    References:
        Cerqueira et al. 2002, doi 10.1161/hc0402.102975.
    """
    ring = cache(partial(_ring, labels))
    segments = cache(partial(_segments, labels))
    quantities: dict[str, Value] = {}
    for k, name in enumerate(["", *(f"_aha{k + 1:02d}" for k in range(SEGMENTS))]):

        def thickness(position: int, k: int = k) -> float:
            frame = cycle.frames[position]
            return ring(frame) if k == 0 else float(segments(frame)[k - 1])

        quantities[f"wall_thickness{name}_mm"] = value_of(partial(_in_mm, thickness, cycle, labels))
        quantities[f"wall_thickening{name}_percent"] = value_of(partial(_gain, thickness, cycle))
    return quantities


def sector_thickness(cavity: float, wall: float, angle: float) -> float:
    """Thickness of a ring's sector from its areas and its angle in rad."""
    return float(np.sqrt(2 * (cavity + wall) / angle) - np.sqrt(2 * cavity / angle))


def _in_mm(make: Callable[[int], float], cycle: Cycle, labels: LabelMap) -> float:
    if not labels.spacing_known:
        raise NotComputable("spacing is unknown", "a voxel size in mm")
    return make(cycle.ed)


def _gain(make: Callable[[int], float], cycle: Cycle) -> float:
    relaxed, contracted = make(cycle.ed), make(cycle.es)
    if relaxed == 0:
        raise NotComputable("the wall has no thickness at end-diastole", "a wall")
    return 100 * (contracted - relaxed) / relaxed


def _ring(labels: LabelMap, frame: int) -> float:
    """Mean thickness over all slices' whole rings, in the unit of the spacing."""
    slices = _slices(labels, frame)
    areas = [(cavity.sum(), wall.sum()) for cavity, wall in slices]
    pixel = float(np.prod(labels.spacing_mm[1:]))
    return float(np.mean([sector_thickness(c * pixel, w * pixel, 2 * np.pi) for c, w in areas]))


def _segments(labels: LabelMap, frame: int) -> FloatArray:
    """Mean thickness of the 16 segments, each over the slices of its third."""
    slices, septum = _from_base(_slices(labels, frame)), _septal_angle(labels, frame)
    thirds = np.array_split(np.arange(len(slices)), 3)
    found = []
    for third, walls in zip(thirds, (SIXTHS, SIXTHS, QUARTERS), strict=True):
        by_slice = [_sectors(slices[i], labels, septum, walls) for i in third]
        found.append(np.mean(by_slice, axis=0))
    return np.concatenate(found)


def _sectors(
    slice_: tuple[Mask, Mask], labels: LabelMap, septum: float, walls: tuple[int, ...]
) -> FloatArray:
    """Thickness of each wall of one slice, in the segments' order."""
    sectors, start = len(walls), -np.pi if len(walls) == 6 else -0.75 * np.pi
    pixel = float(np.prod(labels.spacing_mm[1:]))
    turned = (_angles(slice_[0], labels, septum) - start) % (2 * np.pi)
    sector = np.minimum((turned * sectors / (2 * np.pi)).astype(int), sectors - 1)
    areas = [np.bincount(sector[m], minlength=sectors) * pixel for m in slice_]
    thickness = np.zeros(sectors)
    for place, segment in enumerate(walls):
        thickness[segment] = sector_thickness(areas[0][place], areas[1][place], 2 * np.pi / sectors)
    return thickness


def _slices(labels: LabelMap, frame: int) -> list[tuple[Mask, Mask]]:
    """Cavity and wall (y, x) of every slice that shows both."""
    if "myocardium" not in labels.names:
        raise NotComputable("the label map has no myocardium", "one")
    cavity, wall = _mask(labels, "lv", frame), _mask(labels, "myocardium", frame)
    both = np.flatnonzero(cavity.any(axis=(1, 2)) & wall.any(axis=(1, 2)))
    if len(both) < 3:
        raise NotComputable(
            f"cavity and wall share {len(both)} slices", "at least three: base, mid, apex"
        )
    return [(cavity[z], wall[z]) for z in both]


def _from_base(slices: list[tuple[Mask, Mask]]) -> list[tuple[Mask, Mask]]:
    """Slices from base to apex: the cavity is wider at the base."""
    third = max(1, len(slices) // 3)
    first, last = (sum(int(c.sum()) for c, _ in part) for part in (slices[:third], slices[-third:]))
    return slices if first >= last else slices[::-1]


def _septal_angle(labels: LabelMap, frame: int) -> float:
    """Direction from the left to the right ventricle in the plane, rad."""
    if "rv" not in labels.names or not _mask(labels, "rv", frame).any():
        raise NotComputable("the right ventricle is missing", "one, to tell where the septum is")
    left, right = (
        np.argwhere(_mask(labels, s, frame).any(axis=0)).mean(axis=0) * labels.spacing_mm[1:]
        for s in ("lv", "rv")
    )
    y, x = right - left
    return float(np.arctan2(y, x))


def _angles(cavity: Mask, labels: LabelMap, septum: float) -> FloatArray:
    """Angle of every pixel about the cavity's center, 0 at mid septum, growing to anterior."""
    center = np.argwhere(cavity).mean(axis=0)
    y, x = (
        (np.arange(n) - c) * s
        for n, c, s in zip(cavity.shape, center, labels.spacing_mm[1:], strict=True)
    )
    turned = np.arctan2(y[:, None], x[None, :]) - septum
    # A quarter turn from the septum leads to +y (anterior) only where the septum faces +x.
    return turned if np.cos(septum) >= 0 else -turned


def _mask(labels: LabelMap, structure: str, frame: int) -> Mask:
    """Voxels (z, y, x) of one structure in one frame."""
    return np.asarray(labels.array[frame] == labels.names[structure])
