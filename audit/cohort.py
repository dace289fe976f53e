"""Cohort: a lazy, hashed sequence of cases in one role; read from disk and written to it.

The subject, not the volume, is the unit of splitting, resampling and privacy.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from audit.case import Case, CaseSource, hash_case
from audit.case_files import hash_row, read_row, write_case
from audit.errors import BadInput, UnusableFile
from audit.layouts.find import find_rows
from audit.layouts.row import Listing, Row
from audit.layouts.splits import role_of
from audit.result import write_text

__all__ = [
    "Case",
    "CaseSource",
    "Cohort",
    "Role",
    "cohort_of",
    "hash_case",
    "read_cohort",
    "refuse_shared_subjects",
    "refuse_unusable",
    "write_cohort",
]

Role = Literal["train", "holdout", "synthetic", "conditions"]


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


def read_cohort(
    path: str | Path,
    *,
    role: Role,
    labels: Mapping[str, int] | None = None,
    split: str | None = None,
    skip_unusable: bool = False,
    allow_outside: bool = False,
) -> Cohort:
    """Find the cases of a cohort on disk; voxels are read on access.

    Args:
        path: A folder of volumes, an ACDC or M&Ms folder, or a CSV manifest.
        role: What the cohort is for. Where the place has splits, ``train`` and ``holdout`` take
            the splits of that kind (``val`` and ``test`` are hold-out).
        labels: Code of each structure, over ``labels.json`` and the layout.
        split: Take this split instead.
        skip_unusable: Read every file now and leave out what cannot be used; the notes say so.
        allow_outside: Let a manifest point outside its folder.

    Raises:
        BadInput: There is no cohort, or none of its cases fits the role.
    """
    _, listing = find_rows(path, allow_outside=allow_outside)
    names = labels if labels is not None else listing.names
    rows = _of_role(listing, role, split)
    sources = [_source(row, number, role, names) for number, row in enumerate(rows, start=1)]
    if not skip_unusable:
        for row, source in zip(rows, sources, strict=True):
            if row.problem is not None:  # known without reading: say so before hours of work
                source.read()
        return Cohort(role, sources, notes=listing.notes)
    usable, reasons = [], Counter[str]()
    for source in sources:
        try:
            source.read()
            usable.append(source)
        except UnusableFile as error:
            reasons[error.observed.partition(": ")[2]] += 1
    if not usable:
        raise BadInput(f"none of the {len(rows)} cases of '{role}' can be used", "at least one")
    return Cohort(role, usable, notes=[*listing.notes, *_skip_notes(reasons, len(rows))])


def refuse_unusable(cohort: Cohort) -> None:
    """Read every case once, so that a bad file ends a run before its hours of training.

    Raises:
        UnusableFile: A case cannot be read.
    """
    for source in cohort.sources:
        source.read()


def _source(row: Row, number: int, role: Role, names: Mapping[str, int] | None) -> CaseSource:
    def read() -> Case:
        try:
            return read_row(row, role=role, names=names)
        except UnusableFile as error:  # the row by number: a path may name a patient
            raise UnusableFile(
                f"case {number} of '{role}' cannot be used: {error.observed}",
                error.expected,
                error.remedy or "`voxaudit data check` lists all such files",
            ) from error

    return CaseSource(
        id=row.id,
        subject=row.subject,
        read=read,
        content_hash=partial(hash_row, row),
        condition=row.condition,
        group=row.group,
        labeled=bool(row.masks) or role == "conditions",
    )


def _of_role(listing: Listing, role: Role, split: str | None) -> list[Row]:
    rows = list(listing.rows)
    if split is not None:
        chosen = [row for row in rows if row.split == split]
    elif role in ("train", "holdout") and any(row.split for row in rows):
        chosen = [row for row in rows if role_of(row.split or "") == role]
    else:
        chosen = rows
    if not chosen:
        splits = sorted({row.split for row in rows if row.split})
        wanted = f"role '{role}'" if split is None else f"split '{split}'"
        raise BadInput(
            f"no case belongs to {wanted}",
            f"one of the splits {', '.join(splits) or '(there are none)'}",
        )
    return chosen


def _skip_notes(reasons: Mapping[str, int], n: int) -> list[str]:
    skipped = sum(reasons.values())
    if not skipped:
        return []
    shown = "; ".join(f"{count} because {reason}" for reason, count in sorted(reasons.items()))
    return [f"{skipped} of {n} cases were skipped as unusable: {shown}."]


def write_cohort(cases: Iterable[Case], folder: str | Path) -> Path:
    """Write cases as NIfTI with ``cohort.csv`` and ``labels.json``; ``read_cohort`` reads them.

    Files are written one by one and each atomically, the manifest last: a folder without it is
    unfinished.

    Args:
        cases: What to write; may be a generator of any length.
        folder: Where to.

    Returns:
        The manifest.

    Raises:
        BadInput: Two cases have one id, or label maps name their codes differently.
    """
    place = Path(folder)
    names: dict[str, int] = {}
    rows: dict[str, dict[str, str]] = {}
    for case in cases:
        if case.id in rows:
            raise BadInput("two cases have the same id", "unique ids")
        rows[case.id] = write_case(case, place, len(rows))
        if case.labels is not None:
            clash = [n for n, code in case.labels.names.items() if names.get(n, code) != code]
            if clash:
                raise BadInput(f"'{clash[0]}' has several codes", "one code a name in all cases")
            names.update(case.labels.names)
    if names:
        write_text(place / "labels.json", json.dumps(names, indent=1) + "\n")
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns or ["id", "subject", "image"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    manifest = place / "cohort.csv"
    write_text(manifest, table.getvalue())
    return manifest
