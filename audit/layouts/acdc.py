"""ACDC as distributed: ``patientNNN/`` with a 4D cine, label maps of two frames and ``Info.cfg``.

Codes are 1 RV, 2 myocardium, 3 LV; frames in names and ``Info.cfg`` count from 1.
Reference: https://www.creatis.insa-lyon.fr/Challenge/acdc/ and Bernard et al. 2018,
doi 10.1109/TMI.2018.2837502.
"""

import math
import re
from pathlib import Path

from audit.errors import UnusableFile
from audit.layouts.row import Layout, Listing, Mask, Row
from audit.layouts.splits import is_split

NAMES = {"rv": 1, "myocardium": 2, "lv": 3}
PATIENT = re.compile(r"^patient\d+$")
LABELS = re.compile(r"_frame(\d+)_gt\.nii(\.gz)?$")


def find(path: Path, *, allow_outside: bool = False) -> Listing:  # noqa: ARG001
    """Rows of all patients in a folder, its ``training`` and its ``testing``."""
    folders = sorted(f for f in path.rglob("patient*") if f.is_dir() and PATIENT.match(f.name))
    return Listing(root=path, rows=[_row(folder, path) for folder in folders], names=NAMES)


def _row(folder: Path, root: Path) -> Row:
    info = _info(folder / "Info.cfg")
    cine = [p for p in sorted(folder.glob(f"{folder.name}_4d.nii*")) if p.is_file()]
    masks = [
        Mask(path=file, frame=int(found.group(1)) - 1)
        for file in sorted(folder.iterdir())
        if (found := LABELS.search(file.name))
    ]
    parts = folder.relative_to(root).parts[:-1]
    missing = None
    if not cine:
        missing = UnusableFile("the patient's 4D file is missing", f"{folder.name}_4d.nii.gz")
    return Row(
        id=folder.name,
        subject=folder.name,
        image=tuple(cine[:1]),
        masks=tuple(masks),
        split=next((part for part in parts if is_split(part)), None),
        group=info.get("Group"),
        attributes=_attributes(info),
        problem=missing,
    )


def _info(file: Path) -> dict[str, str]:
    """``key: value`` lines."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs if value.strip()}


def _attributes(info: dict[str, str]) -> dict[str, float]:
    """Frames from 0, height, weight and body surface area (Mosteller 1987)."""
    numbers = {key: _number(info.get(key, "")) for key in ("ED", "ES", "Height", "Weight")}
    found = {
        "ed_frame": None if numbers["ED"] is None else numbers["ED"] - 1,
        "es_frame": None if numbers["ES"] is None else numbers["ES"] - 1,
        "height_cm": numbers["Height"],
        "weight_kg": numbers["Weight"],
        "bsa_m2": body_surface_m2(numbers["Height"], numbers["Weight"]),
    }
    return {name: value for name, value in found.items() if value is not None}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def body_surface_m2(height_cm: float | None, weight_kg: float | None) -> float | None:
    """Body surface area by Mosteller 1987, doi 10.1056/NEJM198710223171717."""
    if not height_cm or not weight_kg:
        return None
    return math.sqrt(height_cm * weight_kg / 3600)


def _recognizes(path: Path) -> bool:
    if not path.is_dir():
        return False
    places = [path, *(f for f in path.iterdir() if f.is_dir() and is_split(f.name))]
    return any(
        PATIENT.match(f.name) and ((f / "Info.cfg").is_file() or any(f.glob("*_4d.nii*")))
        for place in places
        for f in place.iterdir()
    )


LAYOUT = Layout(name="ACDC", recognizes=_recognizes, find=find, rank=2)
