"""How wrong a segmenter is on labeled real cases: overlap, surface, volume and heart function.

A structure that the truth shows and the prediction lacks has Dice 0 and HD95 of the image's
diagonal. One that neither shows is not counted. In a cine, a structure that the truth shows in
some frames only was annotated only there, and the other frames do not count for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.estimate import Estimate, bootstrap_by_subject
from audit.masks.surface import hausdorff95_max_directed, image_diagonal_mm, surface_distances
from audit.volume import LabelMap

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SegmenterError:
    """Of one segmenter on labeled real cases it did not learn from.

    Attributes:
        dice: Median over cases by structure.
        hd95_mm: Median over cases, of the mean over frames (ED and ES in a cine); structures of
            images with unknown spacing are left out.
        volume_bias_percent: Mean of (predicted - true) / true in %, over all annotated frames.
        ef_bias: Mean of predicted minus true LV ejection fraction in percentage points; None where
            fewer than two frames carry an LV.
        ef_limits_of_agreement: Bias ± 1.96 SD over cases, from three subjects up.
        rv_ef_bias: As ``ef_bias`` for the right ventricle, at the left one's ED and ES.
        rv_ef_limits_of_agreement: Likewise.
    """

    dice: dict[str, Estimate]
    hd95_mm: dict[str, Estimate] = field(default_factory=dict)
    volume_bias_percent: dict[str, Estimate] = field(default_factory=dict)
    ef_bias: Estimate | None = None
    ef_limits_of_agreement: tuple[float, float] | None = None
    rv_ef_bias: Estimate | None = None
    rv_ef_limits_of_agreement: tuple[float, float] | None = None

    def as_params(self) -> dict[str, Any]:
        """Plain numbers for a result: value, low, high and n by quantity and structure."""
        tables = {
            "dice": self.dice,
            "hd95_mm": self.hd95_mm,
            "volume_bias_percent": self.volume_bias_percent,
        }
        plain: dict[str, Any] = {
            name: {structure: _plain(e) for structure, e in table.items()}
            for name, table in tables.items()
        }
        for name in ("ef_bias", "rv_ef_bias"):
            if (bias_points := getattr(self, name)) is not None:
                plain[name] = _plain(bias_points)
        for name in ("ef_limits_of_agreement", "rv_ef_limits_of_agreement"):
            if (limits := getattr(self, name)) is not None:
                plain[name] = list(limits)
        return plain


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
    }


def annotated_frames(truth: LabelMap, structure: str) -> list[int]:
    """Frames in which a structure counts: where it is shown, or all if it is nowhere shown."""
    mask, frames = truth.mask(structure), list(truth.labeled_frames)
    return [f for f in frames if mask[f].any()] or frames


def measure_error(
    truths: Sequence[LabelMap | NotComputable],
    predicted: Sequence[LabelMap | NotComputable],
    subjects: Sequence[str],
    *,
    seed: int,
) -> SegmenterError:
    """Compare predicted label maps with true ones, case by case.

    Args:
        truths: Maps given with real cases.
        predicted: Of the same cases.
        subjects: Of each case.
        seed: Of the bootstrap.
    """
    pairs = [
        (t, p, s)
        for t, p, s in zip(truths, predicted, subjects, strict=True)
        if isinstance(t, LabelMap) and isinstance(p, LabelMap)
    ]
    rng = np.random.default_rng(seed)
    tables: dict[str, dict[str, Estimate]] = {"dice": {}, "hd95": {}, "volume": {}}
    measures = (("dice", dice, np.median), ("hd95", hd95_mm, np.median), ("volume", bias, np.mean))
    structures = sorted({name for t, p, _ in pairs for name in t.names if name in p.names})
    for structure in structures:
        own = [(t, p, s) for t, p, s in pairs if structure in t.names and structure in p.names]
        for name, measure, center in measures:
            found = [(measure(t, p, structure), s) for t, p, s in own]
            values = [(v, s) for v, s in found if v is not None]
            if values:
                tables[name][structure] = bootstrap_by_subject(
                    lambda rows, center=center: float(center(rows)),  # type: ignore[misc]
                    [v for v, _ in values],
                    [s for _, s in values],
                    rng=rng,
                )
    ef, limits = _ef_error(pairs, "lv", rng)
    rv_ef, rv_limits = _ef_error(pairs, "rv", rng)
    return SegmenterError(
        dice=tables["dice"],
        hd95_mm=tables["hd95"],
        volume_bias_percent=tables["volume"],
        ef_bias=ef,
        ef_limits_of_agreement=limits,
        rv_ef_bias=rv_ef,
        rv_ef_limits_of_agreement=rv_limits,
    )


def _masks(truth: LabelMap, predicted: LabelMap, structure: str) -> tuple[Mask, Mask]:
    frames = annotated_frames(truth, structure)
    return truth.mask(structure)[frames], predicted.mask(structure)[frames]


def dice(truth: LabelMap, predicted: LabelMap, structure: str) -> float | None:
    """Overlap 2|A∩B| / (|A| + |B|) over annotated frames; None where neither shows it."""
    true, made = _masks(truth, predicted, structure)
    total = int(true.sum()) + int(made.sum())
    return 2 * int((true & made).sum()) / total if total else None


def bias(truth: LabelMap, predicted: LabelMap, structure: str) -> float | None:
    """Relative volume error in % over annotated frames; None where the truth does not show it."""
    true, made = _masks(truth, predicted, structure)
    return 100 * (int(made.sum()) / int(true.sum()) - 1) if true.any() else None


def hd95_mm(truth: LabelMap, predicted: LabelMap, structure: str) -> float | None:
    """95th percentile Hausdorff distance in mm, mean over the frames of extreme volume."""
    if not truth.spacing_known:
        return None
    true, made = _masks(truth, predicted, structure)
    volumes = true.sum(axis=(1, 2, 3))
    distances = []
    for frame in sorted({int(volumes.argmax()), int(volumes.argmin())}):
        if not true[frame].any() and not made[frame].any():
            continue
        if not true[frame].any() or not made[frame].any():
            distances.append(image_diagonal_mm(true.shape[1:], truth.spacing_mm))
            continue
        ways = surface_distances(true[frame], made[frame], truth.spacing_mm)
        distances.append(hausdorff95_max_directed(*ways))
    return float(np.mean(distances)) if distances else None


def ejection_fraction(labels: LabelMap, frames: Sequence[int], side: str = "lv") -> float | None:
    """Ejection fraction in % over these frames, in voxels, so that spacing does not matter.

    End-diastole and end-systole are the left ventricle's, as in ``audit.heart.cine``.
    """
    left, own = (labels.mask(s)[list(frames)].sum(axis=(1, 2, 3)) for s in ("lv", side))
    if len(left) < 2 or own[left.argmax()] == 0:
        return None
    return float(100 * (1 - own[left.argmin()] / own[left.argmax()]))


def _ef_error(
    pairs: Sequence[tuple[LabelMap, LabelMap, str]], side: str, rng: np.random.Generator
) -> tuple[Estimate | None, tuple[float, float] | None]:
    errors, subjects = [], []
    for truth, predicted, subject in pairs:
        if not {"lv", side} <= truth.names.keys() & predicted.names.keys():
            continue
        frames = annotated_frames(truth, side)
        true, made = (ejection_fraction(labels, frames, side) for labels in (truth, predicted))
        if true is not None and made is not None:
            errors.append(made - true)
            subjects.append(subject)
    if not errors:
        return None, None
    bias_points = bootstrap_by_subject(lambda rows: float(np.mean(rows)), errors, subjects, rng=rng)
    if len(set(subjects)) < 3:
        return bias_points, None
    spread = 1.96 * float(np.std(errors, ddof=1))
    return bias_points, (bias_points.value - spread, bias_points.value + spread)
