"""Size, brightness and form of every labeled structure: one row a case, made once per audit.

A cine is measured at end-diastole (the largest left ventricle), else at its first labeled frame.
Label maps are exclusive, so the body is all labeled voxels together, and a share is of those.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from audit.against_real import ROLES, Rows, Value, cohort_rows, role_maps
from audit.cohort import Case
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.surface import bounding_box
from audit.volume import LabelMap

Mask = npt.NDArray[np.bool_]

LUNGS = ("lung_left", "lung_right")


def organ_rows(comparison: Comparison) -> dict[str, Rows]:
    """Every quantity of every case, by role.

    Raises:
        NotComputable: There are no label maps.
    """
    return comparison.once("organ_rows", lambda: _organ_rows(comparison))


def structures_of(comparison: Comparison) -> tuple[str, ...]:
    """Structures that any label map of the audit names."""
    maps = [m for role in ROLES for m in role_maps(comparison, role)]
    return tuple(sorted({n for m in maps if isinstance(m, LabelMap) for n in m.names}))


def judged_structures(comparison: Comparison) -> tuple[str, ...]:
    """Structures that the segmenter is good enough for; all where maps were given."""
    poor = {name.partition(".")[2] for name in _unreadable(comparison, structures_of(comparison))}
    return tuple(name for name in structures_of(comparison) if name not in poor)


def require_lungs(comparison: Comparison) -> None:
    """Check that label maps name both lungs.

    Raises:
        NotComputable: They do not.
    """
    if not set(LUNGS) <= set(structures_of(comparison)):
        raise NotComputable("no label map names both lungs", " and ".join(LUNGS))


def organ_values(
    labels: LabelMap | NotComputable, case: Case, structures: tuple[str, ...]
) -> Mapping[str, Value]:
    """Quantities of one case, or the reason why each is undefined.

    By structure ``s``: ``volume_ml.s`` (0 where it is absent), ``share_percent.s`` of all labeled
    voxels, ``to_lungs.s``, ``detected.s`` (0 or 1), ``intensity.s`` (the median), ``pieces.s``
    (26-connected) and ``crumbs_percent.s`` (voxels outside the largest piece); for the case
    ``lung_asymmetry_percent``, (left − right) over both.
    """
    values: dict[str, Value] = {}
    if isinstance(labels, NotComputable):
        names = [f"{q}.{s}" for s in structures for q in QUANTITIES]
        return dict.fromkeys([*names, "lung_asymmetry_percent"], labels)
    frame = reference_frame(labels)
    codes, image = labels.array[frame], case.image.array[0, frame]
    counts = np.bincount(codes[codes > 0].astype(np.int64), minlength=1)
    size = {n: int(counts[c]) if c < len(counts) else 0 for n, c in labels.names.items()}
    for name in structures:
        if name not in labels.names:
            reason = NotComputable(f"the label map does not name {name}", "its name")
            values |= dict.fromkeys([f"{q}.{name}" for q in QUANTITIES], reason)
            continue
        ml = size[name] * float(np.prod(labels.spacing_mm)) / 1000
        unknown = NotComputable("spacing is unknown", "a voxel size in mm")
        values[f"volume_ml.{name}"] = ml if labels.spacing_known else unknown
        values[f"share_percent.{name}"] = _over(100 * size[name], int(counts.sum()))
        values[f"to_lungs.{name}"] = _over(size[name], sum(size.get(n, 0) for n in LUNGS))
        values[f"detected.{name}"] = float(size[name] > 0)
        values |= _inside(codes == labels.names[name], image, name)
    values["lung_asymmetry_percent"] = _asymmetry(size)
    return values


QUANTITIES = (
    "volume_ml",
    "share_percent",
    "to_lungs",
    "detected",
    "intensity",
    "pieces",
    "crumbs_percent",
)


def reference_frame(labels: LabelMap) -> int:
    """Frame at which organs are measured."""
    frames = labels.labeled_frames
    if "lv" not in labels.names or len(frames) < 2:
        return frames[0]
    code = labels.names["lv"]
    return max(frames, key=lambda t: (int(np.count_nonzero(labels.array[t] == code)), -t))


def _organ_rows(comparison: Comparison) -> dict[str, Rows]:
    structures = structures_of(comparison)
    rows = {}
    for role in ROLES:
        cohort = comparison.cohort_or_empty(role)
        pairs = zip(cohort, role_maps(comparison, role), strict=True)
        values = [dict(organ_values(labels, case, structures)) for case, labels in pairs]
        if role == "synthetic":
            unreadable = _unreadable(comparison, structures)
            values = [row | unreadable for row in values]
        rows[role] = cohort_rows(cohort, values)
    return rows


def _unreadable(comparison: Comparison, structures: tuple[str, ...]) -> dict[str, Value]:
    """Quantities of structures that the segmenter is too poor for, with that reason."""
    found: dict[str, Value] = {}
    for name in structures:
        try:
            comparison.labels().require(name)
        except NotComputable as reason:
            found |= {f"{quantity}.{name}": reason for quantity in QUANTITIES}
    return found


def _inside(mask: Mask, image: npt.NDArray[np.float32], name: str) -> dict[str, Value]:
    from scipy.ndimage import generate_binary_structure, label

    box = bounding_box(mask)
    if box is None:
        absent = NotComputable(f"{name} is absent", "it")
        return dict.fromkeys(
            (f"{q}.{name}" for q in ("intensity", "pieces", "crumbs_percent")), absent
        )
    pieces, count = label(mask[box], generate_binary_structure(3, 3))
    sizes = np.bincount(pieces.ravel())[1:]
    return {
        f"intensity.{name}": float(np.median(image[box][mask[box]])),
        f"pieces.{name}": float(count),
        f"crumbs_percent.{name}": float(100 * (1 - sizes.max() / sizes.sum())),
    }


def _over(part: float, whole: int) -> Value:
    if whole == 0:
        return NotComputable("nothing to relate the volume to", "the reference structure")
    return part / whole


def _asymmetry(size: Mapping[str, int]) -> Value:
    left, right = (size.get(n, 0) for n in LUNGS)
    if left == 0 or right == 0:
        return NotComputable("a lung is missing", "both")
    return 100 * (left - right) / (left + right)
