"""Cohort: a lazy, hashed sequence of cases in one role; read from disk and written to it.

The subject, not the volume, is the unit of splitting, resampling and privacy.
"""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from audit.errors import BadInput, UnusableFile
from audit.formats.find import files_behind
from audit.formats.raster import parsing
from audit.label_files import read_labels
from audit.layouts.find import find_rows
from audit.layouts.row import Listing, Mask, Row
from audit.layouts.splits import role_of
from audit.result import write_text
from audit.volume import LabelMap, Volume, read_volume, write_label_map, write_volume

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


def read_row(
    row: Row, *, role: Role, names: Mapping[str, int] | None, image: Volume | None = None
) -> Case:
    """Read one case from its files.

    Args:
        row: Where they lie.
        role: As in ``read_cohort``.
        names: Code of each structure; None where nobody said.
        image: Its image, where it was read already.

    Raises:
        UnusableFile: One of them cannot be used.
    """
    if row.problem is not None:
        raise row.problem
    files, masks = row.image, row.masks
    if role == "conditions" and not masks:
        files, masks = (), (Mask(path=files[0]),) if files else ()
    volume = image
    if volume is None and files:
        volume = read_volume(files, spacing_mm=row.spacing_mm, frame_ms=row.frame_ms)
    elif volume is None and (role != "conditions" or not masks):
        raise UnusableFile("the case has no image", "one", "Give the row an image")
    labels = None
    if masks:
        labels = read_labels(
            masks,
            image=volume,
            names=names,
            labeled_frames=row.labeled_frames,
            spacing_mm=row.spacing_mm,
        )
    return Case(
        id=row.id,
        subject=row.subject,
        image=volume if volume is not None else _as_volume(labels),
        labels=labels,
        condition=row.condition,
        group=row.group,
        attributes=dict(row.attributes),
    )


def _as_volume(labels: LabelMap | None) -> Volume:
    """Codes of a condition in place of intensities."""
    assert labels is not None
    return Volume(
        array=labels.array[None].astype(np.float32),
        spacing_mm=labels.spacing_mm,
        spacing_known=labels.spacing_known,
        frame_ms=labels.frame_ms,
    )


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


def hash_row(row: Row) -> str:
    """SHA-256 of the bytes of a case's files and of what its row overrides.

    Raises:
        UnusableFile: A file is gone.
    """
    digest = hashlib.sha256()
    known = (row.spacing_mm, row.frame_ms, row.labeled_frames)
    digest.update(repr((known, [(m.frame, m.structure) for m in row.masks])).encode())
    for paths in (row.image, *((mask.path,) for mask in row.masks)):
        if not paths:
            continue
        for path in files_behind(paths):
            with parsing("the files of the case"), path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


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
        rows[case.id] = _write_case(case, place, len(rows))
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


def _write_case(case: Case, folder: Path, number: int) -> dict[str, str]:
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", case.id)
    stem = case.id if plain else f"case-{number:05d}"
    row = {"id": case.id, "subject": case.subject, "image": f"{stem}.nii.gz"}
    write_volume(case.image, folder / row["image"])
    if case.labels is not None:
        row["mask"] = f"{stem}_labels.nii.gz"
        write_label_map(case.labels, folder / row["mask"], affine=case.image.affine)
        if case.labels.frames is not None:
            row["labeled_frames"] = " ".join(map(str, case.labels.frames))
    row |= {k: v for k in ("condition", "group") if (v := getattr(case, k)) is not None}
    return row | {name: repr(float(value)) for name, value in case.attributes.items()}
