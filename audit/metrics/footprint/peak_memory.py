"""Largest memory that sampling and decoding took, in GiB: on the GPU where there is one.

On the CPU it is the largest resident set of the process in these phases, which includes the
interpreter, the libraries and what earlier phases left behind; read it as an upper bound.
"""

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import exact
from audit.footprint import GENERATION, volumes_made
from audit.metric import Measurement, Metric

GIB = 2**30


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """From the run's ledger."""
    used = [r for r in comparison.ledger_records() if r.phase in GENERATION]
    volumes = int(volumes_made(used))
    for place in ("device", "host"):
        peaks = [p for r in used if (p := r.peak_memory_bytes.get(place)) is not None]
        if peaks and volumes:
            return Measurement(
                estimate=exact(max(peaks) / GIB, volumes), params={"definition": place}
            )
    raise NotComputable("the ledger has no sampling", "sampled volumes")


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, np.inf),
    unit="GiB",
    needs=("ledger",),
    source="torch.cuda.max_memory_allocated; VmHWM of proc(5), else getrusage(2)",
)
