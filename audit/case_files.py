"""One case on disk: its files to a Case, and a Case to its files."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from audit.case import Case
from audit.errors import UnusableFile
from audit.formats.find import files_behind
from audit.formats.raster import parsing
from audit.label_files import read_labels
from audit.layouts.row import Mask, Row
from audit.volume import LabelMap, Volume, read_volume, write_label_map, write_volume


def read_row(
    row: Row, *, role: str, names: Mapping[str, int] | None, image: Volume | None = None
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


def write_case(case: Case, folder: Path, number: int) -> dict[str, str]:
    """Write the files of one case and return its row of the manifest.

    Args:
        case: What to write.
        folder: Where to.
        number: Stands for an id that makes no safe file name.
    """
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
