"""Dice between each requested mask and the label map of what was made from it.

One finding a structure (the median, as the VolDiT paper prints it) and ``all`` (the mean over cases
and structures, which one missing organ lowers). A structure that was asked for and is not there
scores 0. ``ceiling`` is the segmenter's own Dice on real images: no generator can be seen to do
better, and a low value beside a low ceiling accuses the segmenter. ``null`` is the Dice with
somebody else's mask: large structures at the same place reach far above 0 without obeying.
"""

from dataclasses import replace

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.adherence import adherence_findings
from audit.masks.shuffled import shuffled_dice
from audit.metric import Measurement, Metric, Outcome


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, with the control beside it."""
    findings = adherence_findings(
        comparison,
        rng,
        "dice",
        better="higher",
        column="adherence.dice",
    )
    try:
        null = shuffled_dice(comparison).null
    except NotComputable:
        null = {}  # a single mask has no other to be compared with
    return {
        name: replace(one, reference={**one.reference, "null": null.get(name)})
        if isinstance(one, Measurement)
        else one
        for name, one in findings.items()
    }


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("mask_shift", "missing_organ"),
    bounds=(0.0, 1.0),
    needs=("conditions",),
    source="Dice 1945, doi 10.2307/1932409; median by structure as in VolDiT (arXiv 2603.25181)",
)
