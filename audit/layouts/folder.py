"""A plain folder of volumes, searched through: the fallback.

``NAME_labels.nii.gz`` (also ``_label``, ``_mask``, ``_seg``, ``_gt``) is the label map of
``NAME.nii.gz`` or ``NAME_image.nii.gz``. ``sub-XX`` at the start of a name is the subject; else a
volume in a subfolder belongs to the subject that the subfolder is named after; else each volume is
its own. A subfolder called ``train``, ``val``, ``test`` or the like is a split.
"""

import re
from pathlib import Path

from audit.formats.dicom_files import is_dicom, series_in
from audit.formats.find import format_of, strip_suffix
from audit.layouts.names import read_names
from audit.layouts.row import Layout, Listing, Mask, Row
from audit.layouts.splits import is_split

MASK_ENDING = re.compile(r"[_.-](labels?|labelmap|masks?|seg|segmentation|gt)$", re.IGNORECASE)
IMAGE_ENDING = re.compile(r"[_.-](image|img)$", re.IGNORECASE)
SUBJECT = re.compile(r"^(sub-[A-Za-z0-9]+)")


def find(path: Path, *, allow_outside: bool = False) -> Listing:  # noqa: ARG001
    """Rows of all volumes under a folder, or of one volume file."""
    root = path if path.is_dir() else path.parent
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [f for f in files if not any(p.startswith(".") for p in f.relative_to(root).parts)]
    volumes = [f for f in files if f.is_file() and format_of(f) and not is_dicom(f)]
    folders = sorted({f.parent for f in files if f.is_file() and is_dicom(f)})
    rows = _volume_rows(volumes, root) + [row for f in folders for row in _series_rows(f, root)]
    return Listing(root=root, rows=rows, names=read_names(root))


def _volume_rows(files: list[Path], root: Path) -> list[Row]:
    masks = {_key(f, MASK_ENDING): f for f in files if MASK_ENDING.search(strip_suffix(f.name))}
    images = {_key(f, IMAGE_ENDING): f for f in files if f not in masks.values()}
    rows = []
    for key, file in sorted({**masks, **images}.items()):
        rows.append(
            Row(
                id=key.relative_to(root).as_posix(),
                subject=_subject(key, root),
                split=_split(key, root),
                image=(file,) if key in images else (),
                masks=(Mask(path=masks[key]),) if key in masks else (),
            )
        )
    return rows


def _series_rows(folder: Path, root: Path) -> list[Row]:
    series = series_in(folder)
    rows = []
    for number, (uid, files) in enumerate(sorted(series.items()), start=1):
        several = len(series) > 1
        place = folder / f"series-{number}" if several or folder == root else folder
        for part in [files] if uid else [(file,) for file in files]:
            name = place if uid else part[0]
            rows.append(
                Row(
                    id=name.relative_to(root).as_posix(),
                    subject=_subject(name, root),
                    split=_split(name, root),
                    image=part,
                )
            )
    return rows


def _key(file: Path, ending: re.Pattern[str]) -> Path:
    return file.with_name(ending.sub("", strip_suffix(file.name)))


def _subject(key: Path, root: Path) -> str:
    parts = [p for p in key.relative_to(root).parts if not is_split(p)] or [key.name]
    named = SUBJECT.match(parts[-1])
    return named.group(1) if named else parts[0]


def _split(key: Path, root: Path) -> str | None:
    return next((p for p in key.relative_to(root).parts[:-1] if is_split(p)), None)


def _recognizes(path: Path) -> bool:
    return path.is_dir() or format_of(path) is not None


LAYOUT = Layout(name="folder", recognizes=_recognizes, find=find, rank=9)
