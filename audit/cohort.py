"""Cohort: a lazy, hashed sequence of cases in one role.

The subject, not the volume, is the unit of splitting, resampling and privacy.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from audit.errors import BadInput
from audit.volume import LabelMap, Volume

Role = Literal["train", "holdout", "synthetic", "conditions"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One volume with what is known about it.

    Attributes:
        id: Unique within its cohort.
        subject: Whose volume it is; several cases may share one.
        image: The volume. A case of ``conditions`` that has only a mask holds the mask's codes.
        labels: Its label map; for a synthetic case the map given with it, not the one asked for.
        condition: Id of the case in ``conditions`` that this synthetic case was asked to follow.
        group: Class or pathology, such as ``DCM``.
        attributes: Further numbers by name with unit, such as ``bsa_m2``.
    """

    id: str
    subject: str
    image: Volume
    labels: LabelMap | None = None
    condition: str | None = None
    group: str | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CaseSource:
    """Where one case comes from: what is known without reading voxels, and how to read them.

    Attributes:
        id: As in ``Case``.
        subject: As in ``Case``.
        read: Reads the case; called on every access, so that a cohort of any size fits.
        content_hash: Computes the SHA-256 of the bytes behind the case.
        condition: As in ``Case``.
        group: As in ``Case``.
        labeled: Whether the case comes with a label map.
    """

    id: str
    subject: str
    read: Callable[[], Case]
    content_hash: Callable[[], str]
    condition: str | None = None
    group: str | None = None
    labeled: bool = False


class Cohort(Sequence[Case]):
    """Cases in one role, read on access.

    Attributes:
        role: ``train``, ``holdout``, ``synthetic`` or ``conditions``.
        sources: One per case, in a stable order.
        notes: Sentences for the report, such as which files were skipped and why.
    """

    def __init__(
        self, role: Role, sources: Sequence[CaseSource], *, notes: Sequence[str] = ()
    ) -> None:
        ids = [s.id for s in sources]
        repeated = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
        if repeated:
            raise BadInput(
                f"cohort '{role}' has {len(repeated)} ids more than once",
                "unique ids",
                "Give each row of the manifest its own id",
            )
        self.role: Role = role
        self.sources = tuple(sources)
        self.notes = tuple(notes)
        self._hashes: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int | slice) -> Case:  # type: ignore[override]
        if isinstance(index, slice):
            raise TypeError("slice a cohort with .subset(indices)")
        return self.sources[index].read()

    def __iter__(self) -> Iterator[Case]:
        return (source.read() for source in self.sources)

    @property
    def ids(self) -> tuple[str, ...]:
        """Case ids, in order."""
        return tuple(s.id for s in self.sources)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subject of each case, in order."""
        return tuple(s.subject for s in self.sources)

    @property
    def groups(self) -> tuple[str | None, ...]:
        """Class or pathology of each case, in order."""
        return tuple(s.group for s in self.sources)

    @property
    def conditions(self) -> tuple[str | None, ...]:
        """Requested condition of each case, in order."""
        return tuple(s.condition for s in self.sources)

    @property
    def labeled(self) -> bool:
        """Whether every case comes with a label map."""
        return bool(self.sources) and all(s.labeled for s in self.sources)

    @property
    def case_hashes(self) -> tuple[str, ...]:
        """SHA-256 of each case's content, computed once."""
        if self._hashes is None:
            self._hashes = tuple(s.content_hash() for s in self.sources)
        return self._hashes

    @property
    def hash(self) -> str:
        """SHA-256 over ids, subjects and contents in order."""
        digest = hashlib.sha256()
        for source, content in zip(self.sources, self.case_hashes, strict=True):
            digest.update(f"{source.id}\0{source.subject}\0{content}\n".encode())
        return digest.hexdigest()

    def subset(self, indices: Sequence[int]) -> "Cohort":
        """The cases at these positions, in this order, in the same role."""
        return Cohort(self.role, [self.sources[i] for i in indices], notes=self.notes)


def cohort_of(role: Role, cases: Sequence[Case]) -> Cohort:
    """A cohort of cases that are already in memory."""
    return Cohort(
        role,
        [
            CaseSource(
                id=case.id,
                subject=case.subject,
                read=lambda case=case: case,  # type: ignore[misc]
                content_hash=lambda case=case: hash_case(case),  # type: ignore[misc]
                condition=case.condition,
                group=case.group,
                labeled=case.labels is not None,
            )
            for case in cases
        ],
    )


def hash_case(case: Case) -> str:
    """SHA-256 of a case's voxels, labels and geometry."""
    digest = hashlib.sha256()
    digest.update(repr((case.image.shape, case.image.spacing_mm, case.image.frame_ms)).encode())
    digest.update(np.ascontiguousarray(case.image.array).data)
    if case.labels is not None:
        digest.update(repr((sorted(case.labels.names.items()), case.labels.frames)).encode())
        digest.update(np.ascontiguousarray(case.labels.array).data)
    return digest.hexdigest()


def refuse_shared_subjects(train: Cohort, holdout: Cohort) -> None:
    """Stop where a patient is on both sides of the split.

    Raises:
        BadInput: The cohorts share subjects.
    """
    shared = set(train.subjects) & set(holdout.subjects)
    if shared:
        raise BadInput(
            f"cohorts 'train' and 'holdout' share {len(shared)} subjects",
            "none",
            "Split by subject; `voxaudit data check` lists them",
        )
