"""Function of every heart of an audit: one row a case, made once and shared by cardiac metrics."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audit.against_real import ROLES, Rows, Value, cohort_rows, role_maps
from audit.cohort import Case
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.heart.cine import cardiac_function, read_cycle
from audit.heart.course import cardiac_rates, require_order, self_consistency
from audit.heart.wall import wall_quantities
from audit.volume import LabelMap

FloatArray = npt.NDArray[np.float64]
PHASES = 20

if TYPE_CHECKING:
    from audit.segmenter import Labels


def heart_rows(comparison: Comparison) -> dict[str, Rows]:
    """Every quantity of every heart, by role.

    Raises:
        NotComputable: There are no label maps, or the segmenter is too poor for the ventricle.
    """
    return comparison.once("heart_rows", lambda: _heart_rows(comparison))


def heart_values(
    labels: LabelMap | NotComputable, case: Case, *, given_frames: bool = False
) -> Mapping[str, Value]:
    """Every quantity of one heart, or the reason why it is undefined.

    Args:
        labels: Its label map.
        case: The heart; its attribute ``bsa_m2`` is the body surface area.
        given_frames: Take ED and ES from the attributes ``ed_frame`` and ``es_frame`` (counted
            from 0) where a case has both, instead of from the volumes.
    """
    if isinstance(labels, NotComputable):
        return _Undefined(labels)
    known = case.attributes
    frames = {}
    if given_frames and {"ed_frame", "es_frame"} <= known.keys():
        frames = {"ed": int(known["ed_frame"]), "es": int(known["es_frame"])}
    try:
        cycle = read_cycle(labels, **frames)
    except NotComputable as reason:
        return _Undefined(reason)
    return {
        **cardiac_function(cycle, bsa_m2=known.get("bsa_m2")),
        **cardiac_rates(cycle),
        **self_consistency(cycle, labels),
        **wall_quantities(cycle, labels),
    }


class _Undefined(dict[str, Value]):
    """Every quantity of a case without a usable cycle: one reason for all."""

    def __init__(self, reason: NotComputable) -> None:
        super().__init__()
        self.reason = reason

    def __missing__(self, quantity: str) -> NotComputable:
        return self.reason


def _heart_rows(comparison: Comparison) -> dict[str, Rows]:
    labels = comparison.labels()
    labels.require("lv")
    given = comparison.options.get("cardiac_frames", "by_volume") == "given"
    rows = {}
    for role in ROLES:
        cohort, maps = comparison.cohort_or_empty(role), role_maps(comparison, role)
        values = [
            heart_values(m, case, given_frames=given) for case, m in zip(cohort, maps, strict=True)
        ]
        rows[role] = cohort_rows(cohort, [_trusted(v, labels) for v in values])
    return rows


def heart_curves(
    comparison: Comparison, structure: str
) -> dict[str, list[FloatArray | NotComputable]]:
    """Volume of a structure over ``PHASES`` equal parts of the cycle from ED, by role.

    As a share of the LV's end-diastolic volume for the cavities, and of its own mean for the
    myocardium, so that no spacing is needed; a reason for a heart without labels on every frame
    or with frames out of order.
    """
    return {role: [_curve(m, structure) for m in role_maps(comparison, role)] for role in ROLES}


def _curve(labels: LabelMap | NotComputable, structure: str) -> FloatArray | NotComputable:
    if isinstance(labels, NotComputable):
        return labels
    try:
        cycle = read_cycle(labels)
        require_order(cycle)
        counts = np.roll(cycle.counts(structure), -cycle.ed)
    except NotComputable as reason:
        return reason
    own = structure == "myocardium"
    whole = counts.mean() if own else cycle.counts("lv")[cycle.ed]
    phases = np.arange(PHASES) / PHASES * len(counts)
    return np.interp(phases, np.arange(len(counts) + 1), np.append(counts, counts[0])) / whole


def _trusted(values: Mapping[str, Value], labels: "Labels") -> Mapping[str, Value]:
    """Put the reason in the place of what rests on a structure that the segmenter draws poorly."""
    if isinstance(values, _Undefined):
        return values
    trusted = dict(values)
    for structure in ("rv", "myocardium"):
        try:
            labels.require(structure)
        except NotComputable as reason:
            trusted |= dict.fromkeys((q for q in values if rests_on(q, structure)), reason)
    return trusted


def rests_on(quantity: str, structure: str) -> bool:
    """Whether a quantity needs this structure besides the left ventricle."""
    if structure == "rv":
        return quantity.startswith("rv_") or quantity == "sv_mismatch_percent"
    return any(word in quantity for word in ("mass", "myocardium", "wall"))
