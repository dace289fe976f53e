"""Medical Segmentation Decathlon and nnU-Net: ``imagesTr``, ``labelsTr`` and ``dataset.json``.

Reference: http://medicaldecathlon.com and Antonelli et al. 2022, doi 10.1038/s41467-022-30695-9.
The names in ``dataset.json`` are the task's own words, in lower case.
"""

import glob
import json
import re
from pathlib import Path
from typing import Any

from audit.errors import BadInput, UnusableFile
from audit.formats.find import format_of, strip_suffix
from audit.layouts.names import checked_names
from audit.layouts.row import Layout, Listing, Mask, Row
from audit.layouts.subjects import subject_in

CHANNEL = re.compile(r"_\d{4}$")
SPLITS = {"imagesTr": ("train", "labelsTr"), "imagesTs": ("test", "labelsTs")}


def find(path: Path, *, allow_outside: bool = False) -> Listing:  # noqa: ARG001
    """Rows of the training and the test images.

    Raises:
        BadInput: ``dataset.json`` is damaged or names its labels in no known way.
    """
    rows = []
    for folder, (split, labels) in SPLITS.items():
        images = sorted((path / folder).glob("[!.]*")) if (path / folder).is_dir() else []
        by_stem: dict[str, list[Path]] = {}
        for image in (f for f in images if format_of(f)):
            by_stem.setdefault(CHANNEL.sub("", strip_suffix(image.name)), []).append(image)
        rows += [_row(stem, files, split, path / labels) for stem, files in by_stem.items()]
    return Listing(root=path, rows=rows, names=_names(_facts(path)))


def _row(stem: str, files: list[Path], split: str, labels: Path) -> Row:
    masks = [f for f in labels.glob(f"{glob.escape(stem)}.*") if strip_suffix(f.name) == stem]
    several = None
    if len(files) > 1:
        several = UnusableFile(f"the case has {len(files)} channels in files of their own", "one")
    return Row(
        id=stem,
        subject=subject_in(stem) or stem,
        image=tuple(files[:1]),
        masks=tuple(Mask(path=mask) for mask in masks[:1]),
        split=split,
        problem=several,
    )


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput("dataset.json cannot be read", "the file as distributed") from error
    if not isinstance(facts, dict):
        raise BadInput("dataset.json is no object", "the file as distributed")
    return facts


def _names(facts: dict[str, Any]) -> dict[str, int]:
    """Names to codes, from either direction: the Decathlon's or nnU-Net's."""
    labels = facts.get("labels")
    pairs = labels.items() if isinstance(labels, dict) else ()
    names: dict[str, object] = {}
    for one, other in pairs:
        name, code = (other, one) if str(one).isdecimal() else (one, other)
        known = int(code) if str(code).isdecimal() and len(str(code)) < 6 else code
        if known != 0:
            names[str(name).strip().lower().replace(" ", "_")] = known
    return checked_names(names)


def _recognizes(path: Path) -> bool:
    return (path / "dataset.json").is_file() and (path / "imagesTr").is_dir()


LAYOUT = Layout(name="Decathlon", recognizes=_recognizes, find=find, rank=4)
