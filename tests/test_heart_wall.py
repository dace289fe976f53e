"""Wall thickness by AHA segment: rings of known thickness, and hearts that have no segments."""

import numpy as np
import pytest

from audit.errors import NotComputable
from audit.heart.cine import read_cycle
from audit.heart.wall import sector_thickness, wall_quantities
from audit.volume import LabelMap


def rings(inner_mm=(20.0, 12.0), outer_mm=(28.0, 26.0), *, thin=None, rv=True):
    """Two frames of 6 equal slices at 1 mm: concentric rings, the RV toward +x."""
    grid = np.indices((80, 80)) - 39.5
    y, x = grid
    radius, angle = np.hypot(y, x), np.rad2deg(np.arctan2(y, x))
    array = np.zeros((2, 6, 80, 80), dtype=np.int16)
    for t, (inner, outer) in enumerate(zip(inner_mm, outer_mm, strict=True)):
        wall = np.where((angle > 60) & (angle < 120), thin, outer) if thin else outer
        array[t, :, radius < wall] = 2
        array[t, :, radius < inner] = 3
        if rv:
            array[t, :, (np.hypot(y, x - 34) < 5) & (radius > 28)] = 1
    names = {"rv": 1, "myocardium": 2, "lv": 3}
    return LabelMap(array=array, names=names, spacing_mm=(8.0, 1.0, 1.0))


def walls(labels):
    return wall_quantities(read_cycle(labels), labels)


def test_a_full_circle_gives_the_difference_of_radii():
    area = np.pi * np.array([20.0, 28.0]) ** 2
    assert sector_thickness(area[0], area[1] - area[0], 2 * np.pi) == pytest.approx(8)
    assert sector_thickness(area[0] / 6, (area[1] - area[0]) / 6, np.pi / 3) == pytest.approx(8)


def test_concentric_rings_are_equally_thick_all_around():
    found = walls(rings())
    assert found["wall_thickness_mm"] == pytest.approx(8, abs=0.1)
    assert found["wall_thickening_percent"] == pytest.approx(100 * (14 - 8) / 8, abs=2)
    for k in range(1, 17):
        assert found[f"wall_thickness_aha{k:02d}_mm"] == pytest.approx(8, abs=0.5)


def test_a_thin_anterior_wall_is_segment_1():
    found = walls(rings(thin=23.0))
    assert found["wall_thickness_aha01_mm"] == pytest.approx(3, abs=0.4)
    assert found["wall_thickness_aha04_mm"] == pytest.approx(8, abs=0.4)  # inferior, opposite
    assert found["wall_thickness_aha13_mm"] < 7  # apical anterior covers it in part


def test_without_a_right_ventricle_there_are_no_segments():
    found = walls(rings(rv=False))
    assert found["wall_thickness_mm"] == pytest.approx(8, abs=0.1)
    reason = found["wall_thickness_aha01_mm"]
    assert isinstance(reason, NotComputable)
    assert "right ventricle is missing" in str(reason)
