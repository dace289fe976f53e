"""What no living heart does: the rules of plausibility, in one table with their sources.

Limits are wide on purpose, far beyond reference ranges: a broken rule means a broken image or
segmentation, not a disease.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audit.against_real import Value
from audit.errors import NotComputable

KAWEL_BOEHM = (
    "beyond any reference range of Kawel-Boehm et al. 2020, doi 10.1186/s12968-020-00683-3"
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Limits of one quantity.

    Attributes:
        name: Variant of the metric.
        quantity: As in ``audit.heart.table``.
        low: Least plausible value.
        high: Greatest plausible value.
        source: Why.
    """

    name: str
    quantity: str
    low: float
    high: float
    source: str

    def broken_by(self, value: Value) -> bool:
        """Whether a value is implausible; one that is undefined is."""
        return isinstance(value, NotComputable) or not self.low <= value <= self.high

    def as_params(self) -> dict[str, Any]:
        """A row of the table."""
        return asdict(self)


RULES: tuple[Rule, ...] = (
    Rule(
        name="lv_ejection_fraction",
        quantity="lv_ef_percent",
        low=5.0,
        high=85.0,
        source="the project's rule; " + KAWEL_BOEHM,
    ),
    Rule(
        name="rv_ejection_fraction",
        quantity="rv_ef_percent",
        low=5.0,
        high=85.0,
        source="the project's rule (ESV above EDV is a negative one); " + KAWEL_BOEHM,
    ),
    Rule(name="lv_edv", quantity="lv_edv_ml", low=20.0, high=600.0, source=KAWEL_BOEHM),
    Rule(name="rv_edv", quantity="rv_edv_ml", low=20.0, high=600.0, source=KAWEL_BOEHM),
    Rule(name="lv_mass", quantity="lv_mass_g", low=20.0, high=600.0, source=KAWEL_BOEHM),
    Rule(
        name="wall_thickness",
        quantity="wall_thickness_mm",
        low=2.0,
        high=35.0,
        source="mean wall; massive hypertrophy is 30 mm at one place: Spirito et al. 2000, "
        "doi 10.1056/NEJM200006153422403",
    ),
    Rule(
        name="myocardial_volume",
        quantity="myocardium_range_percent",
        low=0.0,
        high=20.0,
        source="the project's rule; muscle is nearly incompressible",
    ),
    Rule(
        name="stroke_volumes",
        quantity="sv_mismatch_percent",
        low=0.0,
        high=80.0,
        source="both ventricles pump the same blood; severe regurgitation doubles one side",
    ),
    Rule(
        name="contractions",
        quantity="contractions",
        low=1.0,
        high=1.0,
        source="one beat per cycle by definition of the cine",
    ),
    Rule(
        name="order_of_frames",
        quantity="reversal_percent",
        low=0.0,
        high=50.0,
        source="a ventricle empties once and fills once per beat",
    ),
    Rule(
        name="closure",
        quantity="closure_percent",
        low=0.0,
        high=50.0,
        source="motion is periodic: the last frame comes just before the first",
    ),
)


def broken_rules(values: Mapping[str, Value], rules: tuple[Rule, ...]) -> tuple[str, ...]:
    """Names of the rules that one heart breaks."""
    return tuple(rule.name for rule in rules if rule.broken_by(values[rule.quantity]))
