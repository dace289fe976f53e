"""The course of one beat: emptying, filling, and whether a heart agrees with itself.

Everything here needs labels on every frame. Slopes and depths are taken around the closed cycle.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.heart.cine import CAVITIES, MIN_CYCLE_FRAMES, Cycle, Value, cycle_s, value_of
from audit.volume import LabelMap

FloatArray = npt.NDArray[np.float64]

CONTRACTION_DEPTH = 0.2
"""Least depth of a contraction, in strokes."""


def cardiac_rates(cycle: Cycle) -> dict[str, Value]:
    """How fast the left ventricle empties and fills.

    ``lv_peak_ejection_edv_per_cycle`` and ``lv_peak_filling_edv_per_cycle`` are the steepest slopes
    between neighboring frames in end-diastolic volumes per cycle, so they need neither spacing nor
    time; ``*_ml_s`` are the same in mL/s. ``lv_time_to_es_fraction`` is the part of the cycle from
    ED to ES.
    """

    def steepest(sign: int) -> float:
        curve = require_order(cycle)
        return float((sign * (np.roll(curve, -1) - curve)).max() / curve[cycle.ed]) * len(curve)

    def in_ml_s(sign: int) -> float:
        return steepest(sign) * float(cycle.ml("lv")[cycle.ed]) / cycle_s(cycle)

    def to_systole() -> float:
        require_order(cycle)
        return (cycle.es - cycle.ed) % cycle.total_frames / cycle.total_frames

    return {
        "lv_peak_ejection_edv_per_cycle": value_of(lambda: steepest(-1)),
        "lv_peak_filling_edv_per_cycle": value_of(lambda: steepest(1)),
        "lv_peak_ejection_ml_s": value_of(lambda: in_ml_s(-1)),
        "lv_peak_filling_ml_s": value_of(lambda: in_ml_s(1)),
        "lv_time_to_es_fraction": value_of(to_systole),
    }


def self_consistency(cycle: Cycle, labels: LabelMap) -> dict[str, Value]:
    """What one heart must agree on with itself; 0 is best for all but ``contractions`` (1).

    - ``sv_mismatch_percent``: |LV SV − RV SV| over their mean; equal without regurgitation.
    - ``myocardium_range_percent``: range over mean of myocardial volume; muscle keeps its volume.
    - ``closure_percent``: first versus last frame of the LV curve, over its stroke.
    - ``reversal_percent``: sweeps of the LV curve beyond one down and one up, over those two: how
      much it fills during systole and empties during diastole.
    - ``contractions``: minima of the LV curve deeper than a fifth of its stroke.
    - ``slice_jump_percent``: mean shift of the LV's center from slice to slice at ED, about the
      straight line through its neighbors, over the LV's mean radius.
    - ``frame_jump_percent``: the same of the whole LV's center from frame to frame.
    """
    return {
        "sv_mismatch_percent": value_of(lambda: _mismatch(cycle)),
        "myocardium_range_percent": value_of(lambda: _muscle_range(cycle)),
        "closure_percent": value_of(lambda: _closure(cycle)),
        "reversal_percent": value_of(lambda: 50 * (_sweeps(_course(cycle)) - 2)),
        "contractions": value_of(lambda: float(_contractions(_course(cycle)))),
        "slice_jump_percent": value_of(lambda: _slice_jump(cycle, labels)),
        "frame_jump_percent": value_of(lambda: _frame_jump(cycle, labels)),
    }


def _course(cycle: Cycle) -> FloatArray:
    """LV curve over a complete cycle, in voxels."""
    if not cycle.complete:
        raise NotComputable(
            f"{len(cycle.frames)} of {cycle.total_frames} frames are labeled",
            f"all, and at least {MIN_CYCLE_FRAMES}: the course over time",
        )
    curve = cycle.counts("lv")
    if curve.max() == curve.min():
        raise NotComputable("the left ventricle does not move", "a contraction")
    return curve


def require_order(cycle: Cycle) -> FloatArray:
    """LV curve over a complete cycle, in voxels, of frames that follow each other in time.

    Raises:
        NotComputable: Frames lack labels, the ventricle does not move, or frames are out of order.
    """
    curve = _course(cycle)
    beats = _contractions(curve)
    if beats != 1:
        raise NotComputable(
            f"the volume curve contracts {beats} times (frames out of order, several beats, or "
            "labels that jump)",
            "one contraction in the cycle",
        )
    return curve


def _sweeps(curve: FloatArray) -> float:
    """Total variation around the cycle over the curve's range; 2 for one smooth beat."""
    return float(np.abs(np.roll(curve, -1) - curve).sum() / (curve.max() - curve.min()))


def _mismatch(cycle: Cycle) -> float:
    left, right = (float(cycle.counts(s)[cycle.ed] - cycle.counts(s)[cycle.es]) for s in CAVITIES)
    if left + right <= 0:
        raise NotComputable("neither ventricle ejects", "a stroke volume")
    return 200 * abs(left - right) / (left + right)


def _muscle_range(cycle: Cycle) -> float:
    _course(cycle)
    muscle = cycle.counts("myocardium")
    return float(100 * (muscle.max() - muscle.min()) / muscle.mean())


def _closure(cycle: Cycle) -> float:
    curve = _course(cycle)
    return float(100 * abs(curve[-1] - curve[0]) / (curve.max() - curve.min()))


def _contractions(curve: FloatArray) -> int:
    """Deep minima of a closed curve."""
    from scipy.signal import find_peaks

    top = int(curve.argmax())
    emptied = -np.concatenate([np.roll(curve, -top), curve[top : top + 1]])
    depth = CONTRACTION_DEPTH * (curve.max() - curve.min())
    return len(find_peaks(emptied, prominence=depth)[0])


def _slice_jump(cycle: Cycle, labels: LabelMap) -> float:
    frame = labels.array[cycle.frames[cycle.ed]] == labels.names["lv"]
    slices = np.flatnonzero(frame.any(axis=(1, 2)))
    if len(slices) < 3:
        raise NotComputable(f"the lv lies in {len(slices)} slices", "at least three")
    return _off_line([frame[z] for z in slices], labels)


def _frame_jump(cycle: Cycle, labels: LabelMap) -> float:
    _course(cycle)
    lv = labels.array == labels.names["lv"]
    shadows = [frame.any(axis=0) for frame in lv]
    return _off_line([shadows[-1], *shadows, shadows[0]], labels)


def _off_line(masks: Sequence[npt.NDArray[np.bool_]], labels: LabelMap) -> float:
    """Mean distance of centers (y, x) to the middle of their neighbors', in % of the radius."""
    in_plane = np.asarray(labels.spacing_mm[1:])
    centers = np.array([np.argwhere(m).mean(axis=0) * in_plane for m in masks])
    radius = np.sqrt(np.mean([np.count_nonzero(m) for m in masks]) * in_plane.prod() / np.pi)
    off_line = centers[1:-1] - (centers[:-2] + centers[2:]) / 2
    return float(100 * np.linalg.norm(off_line, axis=1).mean() / radius)
