"""Volume–time curves and the heart's function from label maps of a cine.

Frames are the labeled ones only: an unlabeled frame is not an empty heart. End-diastole (ED) is the
frame of the largest, end-systole (ES) the frame of the smallest left-ventricular volume, for both
ventricles. A frame spans the time to the next, and the frames cover one cycle.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.volume import LabelMap

FloatArray = npt.NDArray[np.float64]
Value = float | NotComputable

MYOCARDIUM_G_PER_ML = 1.05
CAVITIES = ("lv", "rv")
MIN_CYCLE_FRAMES = 6


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """Curves of one heart over its labeled frames.

    Attributes:
        voxels: Voxels of each structure by frame; a structure without any voxel is absent.
        frames: The labeled frames.
        total_frames: Frames of the cine, labeled or not.
        ed: Position of end-diastole in ``frames``.
        es: Position of end-systole in ``frames``.
        voxel_ml: Volume of a voxel; None where spacing is unknown.
        frame_ms: Time between frames; None where unknown.
    """

    voxels: Mapping[str, FloatArray]
    frames: tuple[int, ...]
    total_frames: int
    ed: int
    es: int
    voxel_ml: float | None
    frame_ms: float | None

    @property
    def complete(self) -> bool:
        """Whether every frame carries labels, so that the course over time is known."""
        return len(self.frames) == self.total_frames and self.total_frames >= MIN_CYCLE_FRAMES

    def ml(self, structure: str) -> FloatArray:
        """Volume of a structure by labeled frame, mL.

        Raises:
            NotComputable: The structure is absent, or spacing is unknown.
        """
        if self.voxel_ml is None:
            raise NotComputable(
                "spacing is unknown", "a voxel size in mm", "Give spacing_mm in the manifest"
            )
        return self.counts(structure) * self.voxel_ml

    def counts(self, structure: str) -> FloatArray:
        """Voxels of a structure by labeled frame.

        Raises:
            NotComputable: The structure is absent.
        """
        if structure not in self.voxels:
            raise NotComputable(f"the label map has no {structure}", "one")
        return self.voxels[structure]


def read_cycle(labels: LabelMap, *, ed: int | None = None, es: int | None = None) -> Cycle:
    """Volumes by frame, with end-diastole and end-systole.

    Args:
        labels: Label map of a cine.
        ed: Frame of end-diastole where it is given with the case.
        es: Frame of end-systole likewise.

    Raises:
        NotComputable: One labeled frame, one slice, no left ventricle, an empty one in a frame, or
            a given frame that carries no labels.
    """
    frames = labels.labeled_frames
    if len(frames) < 2:
        raise NotComputable(
            f"{len(frames)} labeled frame" + "s" * (len(frames) != 1), "at least two: a cine"
        )
    if labels.array.shape[1] < 2:
        raise NotComputable("a single slice", "a stack of slices: one slice has no volume")
    counted = {
        name: np.count_nonzero(labels.array[list(frames)] == code, axis=(1, 2, 3)).astype(float)
        for name, code in labels.names.items()
    }
    voxels = {name: curve for name, curve in counted.items() if curve.any()}
    if "lv" not in voxels:
        raise NotComputable("the label map has no lv", "a left ventricle in every labeled frame")
    empty = int(np.count_nonzero(voxels["lv"] == 0))
    if empty:
        raise NotComputable(
            f"the left ventricle is empty in {empty} of {len(frames)} frames",
            "a left ventricle in every labeled frame",
        )
    return Cycle(
        voxels=voxels,
        frames=frames,
        total_frames=labels.array.shape[0],
        ed=int(voxels["lv"].argmax()) if ed is None else _position(ed, frames, "end-diastole"),
        es=int(voxels["lv"].argmin()) if es is None else _position(es, frames, "end-systole"),
        voxel_ml=float(np.prod(labels.spacing_mm)) / 1000 if labels.spacing_known else None,
        frame_ms=labels.frame_ms,
    )


def _position(frame: int, frames: tuple[int, ...], what: str) -> int:
    if frame not in frames:
        raise NotComputable(
            f"{what} is given as frame {frame}, which carries no labels",
            "a labeled frame, counted from 0",
        )
    return frames.index(frame)


def cardiac_function(cycle: Cycle, *, bsa_m2: float | None = None) -> dict[str, Value]:
    """Every quantity of function, or the reason why it is undefined.

    Names carry the unit: ``lv_edv_ml lv_esv_ml lv_sv_ml lv_ef_percent lv_co_l_min lv_edvi_ml_m2
    lv_esvi_ml_m2 lv_svi_ml_m2``, the same for ``rv``, and ``lv_mass_g lv_mass_g_m2``. The fields
    ``*_edv_per_mass`` and ``rv_edv_per_lv_edv`` are ratios: they need no spacing.

    Args:
        cycle: Curves of one heart.
        bsa_m2: Body surface area, for the indexed values.

    References:
        Schulz-Menger et al. 2020, doi 10.1186/s12968-020-00610-6 (volumes, mass at 1.05 g/mL).
    """
    function: dict[str, Value] = {}
    for side in CAVITIES:
        function |= _ventricle(cycle, side, bsa_m2)
    function["lv_mass_g"] = value_of(lambda: _mass_g(cycle))
    function["lv_mass_g_m2"] = value_of(lambda: _mass_g(cycle) / _known(bsa_m2))
    function["lv_mass_g_per_edv_ml"] = value_of(
        lambda: MYOCARDIUM_G_PER_ML * _at(cycle, "myocardium") / _at(cycle, "lv")
    )
    function["rv_edv_per_lv_edv"] = value_of(lambda: _at(cycle, "rv") / _at(cycle, "lv"))
    return function


def _ventricle(cycle: Cycle, side: str, bsa_m2: float | None) -> dict[str, Value]:
    def ml(position: int) -> float:
        return float(cycle.ml(side)[position])

    def stroke() -> float:
        return ml(cycle.ed) - ml(cycle.es)

    def ejected() -> float:
        counts = cycle.counts(side)
        if counts[cycle.ed] == 0:
            raise NotComputable(f"{side} is empty at end-diastole", "a filled ventricle")
        return float(100 * (counts[cycle.ed] - counts[cycle.es]) / counts[cycle.ed])

    quantities: dict[str, Callable[[], float]] = {
        "edv_ml": lambda: ml(cycle.ed),
        "esv_ml": lambda: ml(cycle.es),
        "sv_ml": stroke,
        "ef_percent": ejected,
        "co_l_min": lambda: stroke() / cycle_s(cycle) * 60 / 1000,
        "edvi_ml_m2": lambda: ml(cycle.ed) / _known(bsa_m2),
        "esvi_ml_m2": lambda: ml(cycle.es) / _known(bsa_m2),
        "svi_ml_m2": lambda: stroke() / _known(bsa_m2),
    }
    return {f"{side}_{name}": value_of(make) for name, make in quantities.items()}


def cycle_s(cycle: Cycle) -> float:
    """Length of the cardiac cycle, s.

    Raises:
        NotComputable: The time between frames is unknown.
    """
    if cycle.frame_ms is None:
        raise NotComputable("the time between frames is unknown", "frame_ms")
    return cycle.total_frames * cycle.frame_ms / 1000


def value_of(make: Callable[[], float]) -> Value:
    """The number, or the reason why there is none."""
    try:
        return make()
    except NotComputable as reason:
        return reason


def _known(bsa_m2: float | None) -> float:
    if bsa_m2 is None or not math.isfinite(bsa_m2) or bsa_m2 <= 0:
        raise NotComputable("body surface area is unknown", "bsa_m2 among the case's attributes")
    return bsa_m2


def _at(cycle: Cycle, structure: str) -> float:
    """Voxels at end-diastole."""
    count = float(cycle.counts(structure)[cycle.ed])
    if count == 0:
        raise NotComputable(f"no {structure} at end-diastole", "one")
    return count


def _mass_g(cycle: Cycle) -> float:
    _at(cycle, "myocardium")
    return float(MYOCARDIUM_G_PER_ML * cycle.ml("myocardium")[cycle.ed])
