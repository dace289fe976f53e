"""CSV or TSV manifest: one row a case, paths relative to it.

Columns: ``image`` (enough by itself, as in the official repositories); ``mask`` or ``labels`` with
codes; ``mask_<structure>`` or ``<structure>_mask`` with a binary mask each; ``id``, ``subject``,
``split``, ``spacing_mm`` (x y z in the file's order), ``frame_ms``, ``labeled_frames`` (from 0),
``condition``, ``group``. Without ``subject`` the file name's ``sub-XX`` or ``patientNNN``, else the
id, stands for it. Other columns that hold numbers become attributes.
"""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath

from audit.errors import BadInput, UnusableFile
from audit.formats.dicom_files import series_files
from audit.formats.find import strip_suffix
from audit.layouts.names import read_names
from audit.layouts.row import Layout, Listing, Mask, Row
from audit.layouts.subjects import subject_in

CODE_COLUMNS = ("mask", "labels", "label")
FRAME_COLUMNS = ("labeled_frames", "labelled_frames")
NAMED_COLUMNS = (
    *("id", "subject", "split", "condition", "group", "image", "spacing_mm", "frame_ms"),
    *CODE_COLUMNS,
    *FRAME_COLUMNS,
)


def find(path: Path, *, allow_outside: bool = False) -> Listing:
    """Rows of a manifest, or of the ``cohort.csv`` in a folder.

    Raises:
        BadInput: It is no table, or has neither an image nor a mask column.
    """
    file = path / "cohort.csv" if path.is_dir() else path
    table = _table(file)
    folder = file.parent
    rows = [
        _row(line, cells, folder, allow_outside=allow_outside)
        for line, cells in enumerate(table, start=2)
    ]
    return Listing(root=folder, rows=rows, names=read_names(folder))


def _table(file: Path) -> list[dict[str, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        reader = csv.DictReader(io.StringIO(text), delimiter=_delimiter(head), strict=True)
        columns = [(c or "").strip().lower() for c in reader.fieldnames or ()]
        reader.fieldnames = columns
        table = [
            {k: (v or "").strip() for k, v in row.items() if k and not isinstance(v, list)}
            for row in reader
        ]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(
            f"the manifest cannot be read ({str(error)[:80]})", "a CSV in UTF-8 with a header line"
        ) from error
    if not _is_known(columns):
        raise BadInput(
            f"the manifest has the columns {', '.join(columns[:8]) or 'none'}",
            "'image' (or 'mask' for conditions)",
            "Name the column of volume paths 'image'",
        )
    if len(set(columns)) < len(columns):
        raise BadInput("the manifest names a column twice", "each once")
    return table


def _is_known(columns: list[str]) -> bool:
    return "image" in columns or any(c in CODE_COLUMNS or _structure(c) for c in columns)


def _delimiter(head: str) -> str:
    return max("\t;,", key=head.count) if any(d in head for d in "\t;,") else ","


def _row(line: int, cells: Mapping[str, str], folder: Path, *, allow_outside: bool) -> Row:
    name = cells.get("image") or next((cells[c] for c in CODE_COLUMNS if cells.get(c)), "")
    id_ = cells.get("id") or strip_suffix(name) or f"line-{line}"
    known = Row(
        id=id_,
        subject=cells.get("subject") or subject_in(PurePath(name).name) or id_,
        condition=cells.get("condition") or None,
        group=cells.get("group") or None,
        split=cells.get("split") or None,
        attributes=_attributes(cells),
    )
    try:
        return replace(
            known,
            image=_image(cells.get("image", ""), folder, allow_outside=allow_outside),
            masks=_masks(cells, folder, allow_outside=allow_outside),
            labeled_frames=_frames(cells),
            spacing_mm=_spacing(cells.get("spacing_mm", "")),
            frame_ms=_frame_ms(cells.get("frame_ms", "")),
        )
    except UnusableFile as error:
        return replace(known, problem=error)


def _image(cell: str, folder: Path, *, allow_outside: bool) -> tuple[Path, ...]:
    if not cell:
        return ()
    path = _inside(cell, folder, allow_outside=allow_outside)
    return series_files(path) if path.is_dir() else (path,)


def _masks(cells: Mapping[str, str], folder: Path, *, allow_outside: bool) -> tuple[Mask, ...]:
    masks = []
    for column, cell in cells.items():
        structure = None if column in CODE_COLUMNS else _structure(column)
        if cell and (column in CODE_COLUMNS or structure):
            path = _inside(cell, folder, allow_outside=allow_outside)
            masks.append(Mask(path=path, structure=structure))
    if len(masks) > 1 and any(mask.structure is None for mask in masks):
        raise UnusableFile("the row gives several label maps", "one, or one mask a structure")
    return tuple(masks)


def _structure(column: str) -> str | None:
    """Structure that a column of binary masks is named after; None for other columns."""
    if column.startswith("mask_") and len(column) > 5:
        return column[5:]
    return column[:-5] if column.endswith("_mask") and len(column) > 5 else None


def _inside(cell: str, folder: Path, *, allow_outside: bool) -> Path:
    try:
        path = (folder / cell).resolve()
        exists = path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise UnusableFile("the path is not valid", "a path relative to the manifest") from error
    if not allow_outside and not path.is_relative_to(folder.resolve()):
        raise UnusableFile(
            "the path leaves the manifest's folder",
            "a path inside it",
            "Move the file, or allow outside paths",
        )
    if not exists:
        raise UnusableFile("the file is missing", "it where the manifest says", "Correct the path")
    return path


def _frames(cells: Mapping[str, str]) -> tuple[int, ...] | None:
    cell = next((cells[c] for c in FRAME_COLUMNS if cells.get(c)), "")
    if not cell:
        return None
    frames = _numbers(cell, "labeled frames such as '0 9'")
    if any(f < 0 or f != int(f) for f in frames):
        raise UnusableFile(f"the row labels the frames '{cell[:40]}'", "indices from 0")
    return tuple(sorted({int(f) for f in frames}))


def _spacing(cell: str) -> tuple[float, float, float] | None:
    if not cell:
        return None
    numbers = _numbers(cell, "a spacing such as '1.5 1.5 8'")
    if len(numbers) != 3 or min(numbers) <= 0:
        raise UnusableFile(
            f"the manifest gives the spacing '{cell[:40]}'", "three positive numbers (x y z) in mm"
        )
    x, y, z = numbers
    return x, y, z


def _frame_ms(cell: str) -> float | None:
    if not cell:
        return None
    numbers = _numbers(cell, "a frame period in ms")
    if len(numbers) != 1 or numbers[0] <= 0:
        raise UnusableFile(f"the frame period is '{cell[:40]}'", "one positive number in ms")
    return numbers[0]


def _numbers(cell: str, expected: str) -> list[float]:
    numbers = [_number(word) for word in cell.strip("[]()").replace(",", " ").split()]
    if not numbers or None in numbers:
        raise UnusableFile(f"the manifest says '{cell[:40]}'", expected)
    return [n for n in numbers if n is not None]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _attributes(cells: Mapping[str, str]) -> dict[str, float]:
    others = {c: v for c, v in cells.items() if c not in NAMED_COLUMNS and not _structure(c)}
    numbers = {column: _number(cell) for column, cell in others.items()}
    return {column: number for column, number in numbers.items() if number is not None}


def _recognizes(path: Path) -> bool:
    if path.is_dir():
        return (path / "cohort.csv").is_file()
    return path.suffix.lower() in (".csv", ".tsv")


LAYOUT = Layout(name="manifest", recognizes=_recognizes, find=find, rank=1)
