"""A plain folder of volumes, searched through: the fallback.

``NAME_labels.nii.gz`` (also ``_label``, ``_mask``, ``_seg``, ``_gt``) is the label map of
``NAME.nii.gz`` or ``NAME_image.nii.gz``. ``sub-XX`` or ``patientNNN`` at the start of a name is the
subject; else a volume in a subfolder belongs to the subject that the subfolder is named after, and
the notes say so; else each volume is its own. The deepest folder that holds everything and folders
named after collections (``images``, ``subset0``, ``site-2``) are looked through. A subfolder called
``train``, ``val``, ``test`` or the like is a split.
"""

import os
import re
from collections import Counter
from pathlib import Path

from audit.formats.dicom_files import is_dicom, series_in
from audit.formats.find import format_of, strip_suffix
from audit.layouts.names import read_names
from audit.layouts.row import Layout, Listing, Mask, Row
from audit.layouts.splits import is_split
from audit.layouts.subjects import subject_in

MASK_ENDING = re.compile(r"[_.-](labels?|labelmap|masks?|seg|segmentation|gt)$", re.IGNORECASE)
IMAGE_ENDING = re.compile(r"[_.-](image|img)$", re.IGNORECASE)
COLLECTION = re.compile(
    r"^(images?|volumes?|scans?|data|nifti|dicom|subset|fold|part|batch|site|cent(er|re)|vendor)"
    r"[-_ ]?[A-Za-z]?\d*$",
    re.IGNORECASE,
)


def find(path: Path, *, allow_outside: bool = False) -> Listing:  # noqa: ARG001
    """Rows of all volumes under a folder, or of one volume file."""
    root = path if path.is_dir() else path.parent
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [f for f in files if not any(p.startswith(".") for p in f.relative_to(root).parts)]
    volumes = [f for f in files if f.is_file() and format_of(f) and not is_dicom(f)]
    folders = sorted({f.parent for f in files if f.is_file() and is_dicom(f)})
    base = _common(volumes + folders, root)
    rows = _volume_rows(volumes, root, base)
    rows += [row for place in folders for row in _series_rows(place, root, base)]
    return Listing(root=root, rows=rows, names=read_names(root), notes=_notes(rows))


def _notes(rows: list[Row]) -> tuple[str, ...]:
    subjects = len({row.subject for row in rows})
    if subjects == len(rows):
        return ()
    return (
        f"{len(rows)} volumes were taken for {subjects} subjects by the names of their subfolders; "
        "give a manifest with a subject column where that is wrong.",
    )


def _volume_rows(files: list[Path], root: Path, base: Path) -> list[Row]:
    masks = {_key(f, MASK_ENDING): f for f in files if MASK_ENDING.search(strip_suffix(f.name))}
    others = [f for f in files if f not in masks.values()]
    alike = Counter(_key(f, IMAGE_ENDING) for f in others)
    images: dict[Path, Path] = {}
    for file in others:
        key = _key(file, IMAGE_ENDING)
        images[key if alike[key] == 1 else file] = file
    return [
        Row(
            id=key.relative_to(root).as_posix(),
            subject=_subject(key, base),
            split=_split(key, root),
            image=(images[key],) if key in images else (),
            masks=(Mask(path=masks[key]),) if key in masks else (),
        )
        for key in sorted({*masks, *images})
    ]


def _series_rows(folder: Path, root: Path, base: Path) -> list[Row]:
    series = series_in(folder)
    several = len(series) > 1 or folder == root
    places = [folder / f"series-{n}" if several else folder for n in range(1, len(series) + 1)]
    return [
        Row(
            id=place.relative_to(root).as_posix(),
            subject=_subject(place, base),
            split=_split(place, root),
            image=files,
        )
        for place, files in zip(places, series, strict=True)
    ]


def _common(places: list[Path], root: Path) -> Path:
    """Deepest folder that holds everything; splits are looked through."""
    parents = {place.parent for place in places}
    shared = Path(os.path.commonpath(parents)) if parents else root
    return shared if shared.is_relative_to(root) else root


def _key(file: Path, ending: re.Pattern[str]) -> Path:
    return file.with_name(ending.sub("", strip_suffix(file.name)))


def _subject(key: Path, base: Path) -> str:
    folders = key.relative_to(base).parts[:-1]
    parts = [p for p in folders if not is_split(p) and not COLLECTION.match(p)]
    return subject_in(key.name) or (*parts, key.name)[0]


def _split(key: Path, root: Path) -> str | None:
    return next((p for p in key.relative_to(root).parts[:-1] if is_split(p)), None)


def _recognizes(path: Path) -> bool:
    return path.is_dir() or format_of(path) is not None


LAYOUT = Layout(name="folder", recognizes=_recognizes, find=find, rank=9)
