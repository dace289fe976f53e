"""The control of mask adherence: agreement with a mask that somebody else was asked to follow."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.requested import Pair, dice_of, measure_adherence, requested_pairs

FloatArray = npt.NDArray[np.float64]

OTHERS = 8
"""Other masks that each case is compared with."""


@dataclass(frozen=True, kw_only=True)
class ShuffledDice:
    """Dice with one's own mask and with others'.

    Attributes:
        subjects: Whose mask each case was asked to follow.
        own: Dice with one's own mask by structure (cases,); NaN where it was not asked for.
        other: Mean Dice with the masks of up to ``OTHERS`` other subjects, likewise.
        null: Mean of ``other`` by structure, and over all structures as ``all``.
        between_masks: Mean Dice of the requested masks with the same others, likewise.
    """

    subjects: tuple[str, ...]
    own: Mapping[str, FloatArray]
    other: Mapping[str, FloatArray]
    null: Mapping[str, float]
    between_masks: Mapping[str, float]


def shuffled_dice(comparison: Comparison) -> ShuffledDice:
    """Dice of every case with its own mask and with other subjects' masks.

    Raises:
        NotComputable: All masks belong to one subject.
    """
    return comparison.once("shuffled_dice", lambda: _shuffled(comparison))


def _shuffled(comparison: Comparison) -> ShuffledDice:
    from joblib import Parallel, cpu_count, delayed

    pairs, table = requested_pairs(comparison), measure_adherence(comparison)
    if len(set(table.subjects)) < 2:
        raise NotComputable(
            "all samples were asked to follow masks of one subject", "masks of at least two"
        )
    found = Parallel(n_jobs=min(cpu_count(), len(pairs)), prefer="threads")(
        delayed(_with_others)(pairs, i, structure)
        for structure in table.structures
        for i in range(len(pairs))
    )
    others = np.array(found, dtype=np.float64).reshape(len(table.structures), len(pairs), 2)
    own = {s: table.scores["dice"][:, k] for k, s in enumerate(table.structures)}
    other, masks = (
        {
            s: np.where(np.isnan(own[s]), np.nan, others[k, :, side])
            for k, s in enumerate(table.structures)
        }
        for side in range(2)
    )
    return ShuffledDice(
        subjects=table.subjects,
        own=own,
        other=other,
        null=_means(other),
        between_masks=_means(masks),
    )


def _means(by_structure: Mapping[str, FloatArray]) -> dict[str, float]:
    means = {s: float(np.nanmean(v)) for s, v in by_structure.items() if not np.isnan(v).all()}
    if not means:
        return {}
    # As for the adherence itself: the mean over a case's structures, then over cases.
    stacked = np.stack(list(by_structure.values()))
    told = ~np.isnan(stacked)
    of_case = np.nansum(stacked, axis=0)[told.any(axis=0)] / told.sum(axis=0)[told.any(axis=0)]
    return {**means, "all": float(of_case.mean())}


def _with_others(pairs: list[Pair], i: int, structure: str) -> tuple[float, float]:
    """Mean Dice with the next masks of other subjects: of what was made, and of its own mask.

    Next in the order of subjects and ids, so that the order of the manifest does not matter.
    """
    pair, scores = pairs[i], []
    ring = sorted(range(len(pairs)), key=lambda k: (pairs[k].subject, pairs[k].id))
    start = ring.index(i)
    for step in range(1, len(pairs)):
        other = pairs[ring[(start + step) % len(pairs)]]
        if other.subject == pair.subject or not _comparable(pair, other, structure):
            continue
        made = dice_of(other.requested, pair.made, structure)
        mask = dice_of(other.requested, pair.requested, structure)
        if made is not None and mask is not None:
            scores.append((made, mask))
        if len(scores) == OTHERS:
            break
    if not scores:
        return float("nan"), float("nan")
    made_mean, mask_mean = np.mean(scores, axis=0).tolist()
    return made_mean, mask_mean


def _comparable(pair: Pair, other: Pair, structure: str) -> bool:
    """Whether the other mask has the structure, on the same grid."""
    return (
        structure in other.requested.names
        and structure in pair.requested.names
        and other.requested.array.shape == pair.made.array.shape
        and bool(other.requested.mask(structure).any())
    )
