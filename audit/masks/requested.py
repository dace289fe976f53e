"""What was asked for against what was made: every synthetic case beside its requested mask.

Measured once and shared by the adherence metrics. A frame is a 3D image: overlap and distance are
taken frame by frame and averaged over the frames that both maps label. Where only one of the two
maps has a structure in a frame, the frame is a failure: Dice 0, every distance the image's
diagonal, volume off by 100 %. A frame where neither has it says nothing and is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.scores import QUANTITIES, TOLERANCE_MM, Mask, score_structure
from audit.volume import LabelMap, Spacing

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Adherence:
    """Scores of every paired case.

    Attributes:
        ids: Synthetic case ids.
        subjects: Whose mask each was asked to follow: the unit of resampling.
        structures: Structures that were asked for in any case and that label maps can name.
        unnamed: Structures that were asked for and that no label map names.
        scores: By quantity (cases, structures); NaN where a case was not asked for a structure.
        missing: Whether a requested structure is absent in any frame (cases, structures).
        unpaired: Synthetic cases that were asked for no mask.
        spacing_known: Whether distances are in mm.
    """

    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    structures: tuple[str, ...]
    unnamed: tuple[str, ...]
    scores: Mapping[str, FloatArray]
    missing: Mask
    unpaired: int
    spacing_known: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A requested mask and the map of what was made of it, on one grid.

    Attributes:
        id: Of the case.
        subject: Whose mask it is.
        requested: The mask.
        made: The map.
        partial: Whether an annotator may have drawn a structure in some frames only, so that its
            absence from a frame says nothing.
    """

    id: str
    subject: str
    requested: LabelMap
    made: LabelMap
    partial: bool = False


def measure_adherence(comparison: Comparison) -> Adherence:
    """Scores of all pairs, in parallel over cases.

    Raises:
        NotComputable: No pair, unnamed labels, or maps on another grid.
    """
    return comparison.once("adherence", lambda: _measure(comparison))


def segmenter_adherence(comparison: Comparison) -> Adherence | None:
    """The same scores between given and segmented maps of real hold-out images.

    What the segmenter reaches on images that follow their masks: the ceiling of adherence. None
    where no network was used or no hold-out case has a map.
    """
    return comparison.once("segmenter_adherence", lambda: _measure_own(comparison))


def requested_pairs(comparison: Comparison) -> list[Pair]:
    """Every synthetic case that names a requested mask, with both maps.

    Raises:
        NotComputable: There is none, a mask is unknown or has no named labels, a case has no
            label map, or the two maps lie on different grids.
    """
    return comparison.once("requested_pairs", lambda: _pairs(comparison))


def tolerance_mm(comparison: Comparison) -> float:
    """Tolerance of the surface Dice: option ``surface_tolerance_mm``, else 2 mm."""
    return float(comparison.options.get("surface_tolerance_mm", TOLERANCE_MM))


def dice_of(first: LabelMap, second: LabelMap, structure: str) -> float | None:
    """Dice of one structure, averaged over frames as above; None where neither map has it."""
    scores = [
        2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
        for a, b in _frames(first, second, structure)
        if a.any() or b.any()
    ]
    return float(np.mean(scores)) if scores else None


def _pairs(comparison: Comparison) -> list[Pair]:
    conditions, maps = comparison.cohort("conditions"), comparison.labels().maps["synthetic"]
    place = {name: i for i, name in enumerate(conditions.ids)}
    asked = [(i, c) for i, c in enumerate(comparison.synthetic.conditions) if c is not None]
    unknown = sum(c not in place for _, c in asked)
    if not asked or unknown:
        raise NotComputable(
            f"{unknown} synthetic cases name a condition that is not there"
            if asked
            else "no synthetic case names the mask it was asked to follow",
            "the id of a case in conditions",
            "Fill the column `condition` of the synthetic manifest",
        )
    pairs = []
    for i, condition in asked:
        wanted = conditions[place[condition]]
        pairs.append(
            Pair(
                id=comparison.synthetic.ids[i],
                subject=wanted.subject,
                requested=_named(wanted.labels),
                made=_usable(maps[i]),
            )
        )
    _check_grids(pairs)
    return pairs


def _named(labels: LabelMap | None) -> LabelMap:
    if labels is None or not labels.names:
        raise NotComputable(
            "a requested mask has no named labels",
            "the name of every code",
            "Give labels.json beside the masks, such as {'lv': 3, 'myocardium': 2, 'rv': 1}",
        )
    return labels


def _usable(labels: LabelMap | NotComputable) -> LabelMap:
    if isinstance(labels, NotComputable):
        raise NotComputable(f"a synthetic case has no label map: {labels.observed}", "one for each")
    return labels


def _check_grids(pairs: Sequence[Pair]) -> None:
    other = [p for p in pairs if p.requested.array.shape != p.made.array.shape]
    if other:
        raise NotComputable(
            f"{len(other)} of {len(pairs)} synthetic cases lie on another grid than their mask "
            f"({other[0].made.array.shape} against {other[0].requested.array.shape})",
            "equal (t, z, y, x)",
            "Resample the samples or the masks before the audit",
        )
    if not any(set(p.requested.names) & set(p.made.names) for p in pairs):
        raise NotComputable(
            "requested masks and label maps share no structure",
            "common names",
            "Name the labels alike in labels.json",
        )
    apart = sum(not set(p.requested.labeled_frames) & set(p.made.labeled_frames) for p in pairs)
    if apart:
        raise NotComputable(
            f"{apart} of {len(pairs)} synthetic cases share no labeled frame with their mask",
            "at least one",
        )


def _measure(comparison: Comparison) -> Adherence:
    pairs = requested_pairs(comparison)
    return _score(pairs, tolerance_mm(comparison), len(comparison.synthetic) - len(pairs))


def _measure_own(comparison: Comparison) -> Adherence | None:
    maps = comparison.labels().segmented.get("holdout", [])
    pairs = [
        Pair(id=case.id, subject=case.subject, requested=case.labels, made=made, partial=True)
        for case, made in zip(comparison.holdout if maps else (), maps, strict=True)
        if case.labels is not None and isinstance(made, LabelMap)
    ]
    return _score(pairs, tolerance_mm(comparison), 0) if pairs else None


def _score(pairs: Sequence[Pair], tolerance: float, unpaired: int) -> Adherence:
    from joblib import Parallel, cpu_count, delayed

    nameable = {name for p in pairs for name in p.made.names}
    asked = {n for p in pairs for n in p.requested.names if _asked_for(p, n)}
    structures = tuple(sorted(asked & nameable))
    # Threads: NumPy releases the lock, and label maps need no copy.
    scored = Parallel(n_jobs=min(cpu_count(), len(pairs)), prefer="threads")(
        delayed(_score_pair)(pair, structures, tolerance) for pair in pairs
    )
    return Adherence(
        ids=tuple(p.id for p in pairs),
        subjects=tuple(p.subject for p in pairs),
        structures=structures,
        unnamed=tuple(sorted(asked - nameable)),
        scores={q: np.array([[cell[q] for cell in row] for row in scored]) for q in QUANTITIES},
        missing=np.array([[cell["missing"] > 0 for cell in row] for row in scored]),
        unpaired=unpaired,
        spacing_known=all(p.requested.spacing_known or p.made.spacing_known for p in pairs),
    )


def _asked_for(pair: Pair, structure: str) -> bool:
    return bool(pair.requested.mask(structure).any())


def _score_pair(pair: Pair, structures: Sequence[str], tolerance: float) -> list[dict[str, float]]:
    """Scores of one case by structure, averaged over frames; NaN for one that was not asked for."""
    return [_score_cell(pair, structure, tolerance) for structure in structures]


def _score_cell(pair: Pair, structure: str, tolerance: float) -> dict[str, float]:
    if structure not in pair.requested.names or not _asked_for(pair, structure):
        return {**dict.fromkeys(QUANTITIES, float("nan")), "missing": 0.0}
    frames = _frames(pair.requested, pair.made, structure)
    if pair.partial:
        frames = [(wanted, made) for wanted, made in frames if wanted.any()]
    scores = [score_structure(a, b, _spacing(pair), tolerance_mm=tolerance) for a, b in frames]
    told = [s for s in scores if s is not None]
    missing = any(a.any() and not b.any() for a, b in frames)
    means = {q: float(np.mean([s[q] for s in told])) if told else np.nan for q in QUANTITIES}
    return {**means, "missing": float(missing)}


def _frames(first: LabelMap, second: LabelMap, structure: str) -> list[tuple[Mask, Mask]]:
    """Both masks (z, y, x) in every frame that both maps label; a name one lacks is empty there."""
    both = sorted(set(first.labeled_frames) & set(second.labeled_frames))
    empty = np.zeros(first.array.shape, dtype=bool)
    masks = [m.mask(structure) if structure in m.names else empty for m in (first, second)]
    return [(masks[0][t], masks[1][t]) for t in both]


def _spacing(pair: Pair) -> Spacing:
    return pair.requested.spacing_mm if pair.requested.spacing_known else pair.made.spacing_mm
