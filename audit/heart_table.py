"""Function of every heart of an audit: one row a case, made once and shared by cardiac metrics."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from audit.against_real import ROLES, Rows, Value, cohort_rows
from audit.cine import cardiac_function, read_cycle
from audit.cine_course import cardiac_rates, self_consistency
from audit.cohort import Case
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.heart_wall import wall_quantities
from audit.volume import LabelMap

if TYPE_CHECKING:
    from audit.segmenter import Labels


def heart_rows(comparison: Comparison) -> dict[str, Rows]:
    """Every quantity of every heart, by role.

    Raises:
        NotComputable: There are no label maps, or the segmenter is too poor for the ventricle.
    """
    return comparison.once("heart_rows", lambda: _heart_rows(comparison))


def heart_values(labels: LabelMap | NotComputable, case: Case) -> Mapping[str, Value]:
    """Every quantity of one heart, or the reason why it is undefined.

    Frames of ED and ES are taken from the attributes ``ed_frame`` and ``es_frame`` (counted from
    0) where the case has them, and the body surface area from ``bsa_m2``.
    """
    if isinstance(labels, NotComputable):
        return _Undefined(labels)
    given = case.attributes
    try:
        cycle = read_cycle(
            labels,
            ed=int(given["ed_frame"]) if "ed_frame" in given else None,
            es=int(given["es_frame"]) if "es_frame" in given else None,
        )
    except NotComputable as reason:
        return _Undefined(reason)
    return {
        **cardiac_function(cycle, bsa_m2=given.get("bsa_m2")),
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
    rows = {}
    for role in ROLES:
        cohort = comparison.cohort_or_empty(role)
        # Real and synthetic hearts are read by the same instrument where one was used.
        maps = labels.segmented.get(role, labels.maps[role]) if len(cohort) else []
        values = [heart_values(m, case) for case, m in zip(cohort, maps, strict=True)]
        rows[role] = cohort_rows(cohort, [_trusted(v, labels) for v in values])
    return rows


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
