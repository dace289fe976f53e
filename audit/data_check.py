"""What a place with volumes holds, and everything about it that would spoil an audit."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from audit.case import Case
from audit.case_files import read_row
from audit.errors import UnusableFile
from audit.formats.canonical import orientation_of
from audit.layouts.find import find_rows
from audit.layouts.row import Listing, Row
from audit.progress import track
from audit.result import Record
from audit.volume import read_image_raster, volume_of


class Unusable(Record):
    """One case that cannot be used.

    Attributes:
        file: Path below the place, or the id where no file is known.
        reason: What was observed, expected, and how to fix it.
    """

    file: str
    reason: str


class CohortCheck(Record):
    """What one split of one place holds.

    Attributes:
        name: Place and split.
        layout: How it was found.
        cases: All of them.
        usable: Those that can be read.
        subjects: Of the usable ones.
        shapes: (c, t, z, y, x) to number of cases.
        spacings_mm: (z, y, x) to number of cases; ``unknown`` where the file states none.
        frames_ms: Frame period to number of cases with several frames.
        orientations: Of the files' own axes, to number of cases.
        dtypes: On disk, to number of cases.
        intensity: Over all cases: minimum, maximum, and the medians of the cases' own 1st and 99th
            percentile.
        labels: Structure to number of cases that hold it.
        labeled: Cases with a label map.
        groups: Class or pathology to number of cases.
    """

    name: str
    layout: str
    cases: int
    usable: int
    subjects: int
    shapes: dict[str, int]
    spacings_mm: dict[str, int]
    frames_ms: dict[str, int]
    orientations: dict[str, int]
    dtypes: dict[str, int]
    intensity: dict[str, float]
    labels: dict[str, int]
    labeled: int
    groups: dict[str, int]


class DataCheck(Record):
    """Everything ``voxaudit data check`` says.

    Attributes:
        cohorts: One per place and split.
        duplicates: Cases with the same voxels, each group named by cohort and id.
        shared_subjects: Subjects that two cohorts have in common, by ``one | other``.
        unusable: Files that cannot be used, with the reason.
        skipped: Whether they were left out on request.
    """

    cohorts: tuple[CohortCheck, ...]
    duplicates: tuple[tuple[str, ...], ...]
    shared_subjects: dict[str, tuple[str, ...]]
    unusable: tuple[Unusable, ...]
    skipped: bool = False


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What is kept of one case after it was read."""

    name: str
    row: Row
    voxels: str
    shape: str
    spacing: str
    frame_ms: float | None
    orientation: str
    dtype: str
    intensity: tuple[float, float, float, float]
    labels: tuple[str, ...] | None


def check_data(
    paths: Sequence[str | Path],
    *,
    labels: Mapping[str, int] | None = None,
    allow_outside: bool = False,
    skip_unusable: bool = False,
) -> DataCheck:
    """Read every file of one or more places and say what is there.

    Args:
        paths: Folders or manifests. Each split of each is a cohort.
        labels: Code of each structure, over what the places say.
        allow_outside: Let manifests point outside their folders.
        skip_unusable: Noted in the answer.

    Raises:
        BadInput: A place does not exist or is no cohort at all.
    """
    cohorts: list[CohortCheck] = []
    looks: list[_Look] = []
    unusable: list[Unusable] = []
    for path in paths:
        layout, listing = find_rows(path, allow_outside=allow_outside)
        names = labels if labels is not None else listing.names
        prefix = f"{Path(path).name or path}" if len(paths) > 1 else ""
        for split in sorted({row.split or "" for row in listing.rows}):
            rows = [row for row in listing.rows if (row.split or "") == split]
            name = "/".join(part for part in (prefix, split) if part) or "all"
            seen: list[_Look] = []
            for row in track(rows, f"reading {name}"):
                try:
                    seen.append(_look(row, name, names))
                except UnusableFile as error:
                    unusable.append(Unusable(file=_shown(row, listing), reason=str(error)))
            cohorts.append(_summary(name, layout, len(rows), seen))
            looks += seen
    return DataCheck(
        cohorts=tuple(cohorts),
        duplicates=_duplicates(looks),
        shared_subjects=_shared(looks),
        unusable=tuple(unusable),
        skipped=skip_unusable and bool(unusable),
    )


def _look(row: Row, cohort: str, names: Mapping[str, int] | None) -> _Look:
    if row.problem is not None:
        raise row.problem
    if not row.image:
        return _look_of(read_row(row, role="conditions", names=names), row, cohort, "–", "–")
    raster = read_image_raster(row.image, spacing_mm=row.spacing_mm, frame_ms=row.frame_ms)
    case = read_row(row, role="train", names=names, image=volume_of(raster))
    orientation = orientation_of(raster.affine) if raster.spacing_known else "unknown"
    return _look_of(case, row, cohort, orientation, raster.stored_dtype)


def _look_of(case: Case, row: Row, cohort: str, orientation: str, dtype: str) -> _Look:
    array, labels = case.image.array, case.labels
    low, high = np.percentile(array, [1, 99])
    found = None
    if labels is not None:
        codes = set(np.unique(labels.array).tolist())
        found = tuple(sorted(name for name, code in labels.names.items() if code in codes))
    spacing = " ".join(f"{s:g}" for s in case.image.spacing_mm)
    return _Look(
        name=cohort,
        row=row,
        voxels=hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest(),
        shape="×".join(map(str, array.shape)),
        spacing=spacing if case.image.spacing_known else "unknown",
        frame_ms=case.image.frame_ms,
        orientation=orientation,
        dtype=dtype,
        intensity=(float(array.min()), float(low), float(high), float(array.max())),
        labels=found,
    )


def _summary(name: str, layout: str, cases: int, looks: Sequence[_Look]) -> CohortCheck:
    numbers = np.array([look.intensity for look in looks], dtype=np.float64)
    intensity = {}
    if looks:
        intensity = {
            "min": float(numbers[:, 0].min()),
            "p1": float(np.median(numbers[:, 1])),
            "p99": float(np.median(numbers[:, 2])),
            "max": float(numbers[:, 3].max()),
        }
    periods = ["unknown" if look.frame_ms is None else f"{look.frame_ms:g}" for look in looks]
    several = [p for p, look in zip(periods, looks, strict=True) if look.shape.split("×")[1] != "1"]
    return CohortCheck(
        name=name,
        layout=layout,
        cases=cases,
        usable=len(looks),
        subjects=len({look.row.subject for look in looks}),
        shapes=_counts(look.shape for look in looks),
        spacings_mm=_counts(look.spacing for look in looks),
        frames_ms=_counts(several),
        orientations=_counts(look.orientation for look in looks),
        dtypes=_counts(look.dtype for look in looks),
        intensity=intensity,
        labels=_counts(label for look in looks for label in look.labels or ()),
        labeled=sum(look.labels is not None for look in looks),
        groups=_counts(look.row.group for look in looks if look.row.group),
    )


def _counts(items: Iterable[str]) -> dict[str, int]:
    return dict(Counter(items).most_common())


def _duplicates(looks: Sequence[_Look]) -> tuple[tuple[str, ...], ...]:
    by_voxels: dict[str, list[str]] = {}
    for look in looks:
        by_voxels.setdefault(look.voxels, []).append(f"{look.name}:{look.row.id}")
    return tuple(tuple(group) for group in by_voxels.values() if len(group) > 1)


def _shared(looks: Sequence[_Look]) -> dict[str, tuple[str, ...]]:
    subjects: dict[str, set[str]] = {}
    for look in looks:
        subjects.setdefault(look.name, set()).add(look.row.subject)
    return {
        f"{one} | {other}": tuple(sorted(shared))
        for one, other in combinations(subjects, 2)
        if (shared := subjects[one] & subjects[other])
    }


def _shown(row: Row, listing: Listing) -> str:
    files = [*row.image[:1], *(mask.path for mask in row.masks)]
    if not files:
        return row.id
    try:
        return files[0].resolve().relative_to(listing.root.resolve()).as_posix()
    except ValueError:
        return row.id
