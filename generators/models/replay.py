"""Replay: returns its training set, the positive control that a memorization audit must fail."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from audit.cohort import Case, Cohort, read_cohort
from audit.errors import BadInput
from audit.volume import LabelMap
from generators.stored import CASES, given, replayed, save_cases


class Replay:
    """A generator whose samples are training cases, in an order that the seed decides.

    With conditions, the training case whose label map overlaps most with the requested one.
    """

    family = "replay"

    def __init__(self) -> None:
        self.cohort: Cohort | None = None

    def fit(self, cohort: Cohort, *, folder: Path | None = None, **_options: Any) -> None:
        """Remember the cohort; with a folder, keep a copy of it there."""
        if len(cohort) == 0:
            raise BadInput("the training cohort is empty", "at least one case")
        self.cohort = cohort
        if folder is not None:
            self.save(folder)

    def sample(
        self,
        n: int,
        *,
        seed: int,
        conditions: Cohort | None = None,
        indices: Sequence[int] | None = None,
        **_options: Any,
    ) -> Iterator[Case]:
        """Yield training cases under new names; after all were shown, again in another order."""
        source = self._cohort
        for index in range(n) if indices is None else indices:
            pick = replayed(index, len(source), seed)
            if conditions is not None:
                pick = _closest(source, conditions[index % len(conditions)].labels)
            case = source[pick]
            name = f"sample-{index:05d}"
            yield Case(
                id=name,
                subject=name,
                image=case.image,
                condition=conditions.ids[index % len(conditions)] if conditions else None,
                group=case.group,
            )

    def identity(self) -> str:
        """What decides the samples beside the seed."""
        return f"{self.family} {self._cohort.hash}"

    def save(self, folder: Path) -> None:
        """Copy the training cases and name the family."""
        save_cases(self._cohort, folder, self.family)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        generator = cls()
        generator.cohort = read_cohort(Path(folder) / CASES, role="train")
        return generator

    @property
    def _cohort(self) -> Cohort:
        return given(self.cohort, "a training cohort", "Call fit or load")


def _closest(cohort: Cohort, wanted: LabelMap | None) -> int:
    if wanted is None or not cohort.labeled:
        raise BadInput("replay got conditions without label maps", "label maps on both sides")
    overlaps = []
    for case in cohort:
        labels = case.labels
        same = labels is not None and labels.array.shape == wanted.array.shape
        overlaps.append(_overlap(labels, wanted) if same and labels is not None else 0.0)
    return int(np.argmax(overlaps))


def _overlap(one: LabelMap, other: LabelMap) -> float:
    """Mean Dice over the structures that both name."""
    scores = []
    for name in sorted(set(one.names) & set(other.names)):
        a, b = one.mask(name), other.mask(name)
        size = int(a.sum()) + int(b.sum())
        scores.append(2 * int((a & b).sum()) / size if size else 1.0)
    return float(np.mean(scores)) if scores else 0.0


MODEL = Replay
