"""Volume of what was made against the volume that was asked for, absolute and in percent.

A missing structure is off by 100 %; there is no upper end. Two equal volumes may lie in different
places: read it beside Dice. The number has no sign; cases.csv keeps both volumes in mL
(``adherence.requested_ml.*``, ``adherence.made_ml.*``), from which the report draws bias and limits
of agreement.
"""

from dataclasses import replace

import numpy as np

from audit.comparison import Comparison
from audit.masks.adherence import adherence_findings
from audit.masks.requested import Adherence, measure_adherence
from audit.masks.scores import VOLUMES
from audit.metric import Measurement, Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    found = adherence_findings(
        comparison,
        rng,
        "volume_error_percent",
        better="lower",
        column="adherence.volume_error_percent",
    )
    table = measure_adherence(comparison)
    if not table.spacing_known:
        return found
    return {name: _with_volumes(one, table, name) for name, one in found.items()}


def _with_volumes(outcome: Outcome, table: Adherence, structure: str) -> Outcome:
    """The two volumes of each case beside its error."""
    if not isinstance(outcome, Measurement) or structure not in table.structures:
        return outcome
    cases = outcome.cases
    if cases is None:
        return outcome
    place = table.structures.index(structure)
    volumes = {f"adherence.{v}.{structure}": table.scores[v][:, place] for v in VOLUMES}
    return replace(outcome, cases=cases.assign(**volumes))


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("missing_organ",),
    bounds=(0.0, np.inf),
    unit="%",
    needs=("conditions",),
    source="Relative volume difference: Heimann et al. 2009, doi 10.1109/TMI.2009.2013851",
)
