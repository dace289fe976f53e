"""M&Ms as distributed: ``CODE/CODE_sa.nii.gz`` and ``CODE_sa_gt.nii.gz``, and a CSV of facts.

Codes are 1 LV, 2 myocardium, 3 RV (not ACDC's); ED and ES in the CSV count from 0. Reference:
https://www.ub.edu/mnms/ and Campello et al. 2021, doi 10.1109/TMI.2021.3090082.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from audit.errors import BadInput
from audit.layouts.acdc import body_surface_m2
from audit.layouts.row import Layout, Listing, Mask, Row
from audit.layouts.splits import is_split

NAMES = {"lv": 1, "myocardium": 2, "rv": 3}
SUFFIX = "_sa.nii.gz"
NUMBERS = {"age": "age_years", "height": "height_cm", "weight": "weight_kg"}


def find(path: Path, *, allow_outside: bool = False) -> Listing:  # noqa: ARG001
    """Rows of all subjects under a folder.

    Raises:
        BadInput: The CSV of facts is damaged.
    """
    file = _facts_file(path)
    facts = _facts(file) if file else {}
    images = sorted(path.rglob(f"*{SUFFIX}"))
    rows = [_row(f, path, facts.get(f.name[: -len(SUFFIX)], {})) for f in images]
    return Listing(root=path, rows=rows, names=NAMES)


def _row(image: Path, root: Path, facts: Mapping[str, str]) -> Row:
    code = image.name[: -len(SUFFIX)]
    mask = image.with_name(f"{code}_sa_gt.nii.gz")
    frames = [_number(facts.get(key, "")) for key in ("ed", "es")]
    # Only end-diastole and end-systole are labeled: without the CSV's word the map says nothing.
    labeled = tuple(sorted({int(f) for f in frames if f is not None and f >= 0}))
    attributes = {new: v for key, new in NUMBERS.items() if (v := _number(facts.get(key, "")))}
    ends = zip(("ed_frame", "es_frame"), frames, strict=True)
    attributes |= {name: frame for name, frame in ends if frame is not None and frame >= 0}
    surface = body_surface_m2(attributes.get("height_cm"), attributes.get("weight_kg"))
    parts = image.relative_to(root).parts
    return Row(
        id=code,
        subject=code,
        image=(image,),
        masks=(Mask(path=mask),) if labeled and mask.is_file() else (),
        labeled_frames=labeled or None,
        group=facts.get("pathology") or None,
        split=next((part for part in parts if is_split(part)), None),
        attributes=attributes | ({"bsa_m2": surface} if surface else {}),
    )


def _facts(file: Path) -> dict[str, dict[str, str]]:
    """Cells by lower-case column, by subject code."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            lines = [
                {(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if k}
                for row in csv.DictReader(handle, restval="")
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(
            "the CSV of M&Ms subjects cannot be read", "the file as distributed"
        ) from error
    return {row.get("external code", ""): row for row in lines}


def _facts_file(path: Path) -> Path | None:
    for file in sorted(path.glob("*.csv")):
        with file.open(encoding="utf-8-sig", errors="replace") as handle:
            head = handle.readline().lower()
        if "external code" in head and "pathology" in head:
            return file
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def _recognizes(path: Path) -> bool:
    return path.is_dir() and _facts_file(path) is not None


LAYOUT = Layout(name="M&Ms", recognizes=_recognizes, find=find, rank=3)
