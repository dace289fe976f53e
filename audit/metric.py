"""Metric: the declaration that a metric file ends with, and what its ``compute`` returns.

A metric is one file under ``audit/metrics/<question>/``: a pure function on arrays, a short
``compute`` that fetches them from the comparison, and one ``METRIC = Metric(...)``. The folder is
the registry; nothing else is edited.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

METRICS = Registry("audit.metrics", "METRIC")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one metric found, for one variant (extractor, structure, ...).

    Attributes:
        estimate: Value, interval, n and method.
        reference: Points to read it against, in the same unit: ``real_vs_real`` (the floor at
            the same n), ``real_vs_real_low``/``_high``, ``null``, ``ceiling``, ``smallest_shift``.
        p_value: Of the test named in ``params["test"]``.
        params: What the number depends on.
        series: Data of the figures: name to a list of numbers or short words. No ids.
        cases: Per-case values for cases.csv: columns ``id``, ``role`` and values whose names
            carry the metric's path and unit, such as ``cardiac.lv_edv_ml``.
    """

    estimate: Estimate
    reference: Mapping[str, float | None] = field(default_factory=dict)
    p_value: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    cases: "pd.DataFrame | None" = None


Outcome = Measurement | NotComputable


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A declaration; never subclassed.

    Attributes:
        compute: ``(comparison, rng) -> Measurement``, or a mapping from variant to Measurement
            or NotComputable. Raises NotComputable where the whole metric has no value. ``rng`` is
            the metric's own stream: other metrics and their order do not change it.
        better: Direction in which the metric improves; ``none`` for a description.
        detects: Planted failures (names of ``audit.phantoms.spoil``) that it must see.
        bounds: Least and greatest value possible.
        unit: Unit of the value; empty for a pure number.
        needs: What must be there, else the finding says which is missing: any of ``holdout``,
            ``conditions``, ``labels``, ``cine`` (t > 1), ``groups``, ``generator``, ``ledger``.
        source: Paper and equation.
        version: Raised when the definition changes; findings of different versions are not
            compared.
        default: Whether an audit runs it unless asked otherwise.
    """

    compute: Callable[[Comparison, np.random.Generator], Outcome | Mapping[str, Outcome]]
    better: Literal["lower", "higher", "none"]
    detects: tuple[str, ...] = ()
    bounds: tuple[float, float] = (-np.inf, np.inf)
    unit: str = ""
    needs: tuple[str, ...] = ()
    source: str
    version: int = 1
    default: bool = True

    @property
    def explanation(self) -> str:
        """The docstring of the file: what the number means and when it lies."""
        module = sys.modules[self.compute.__module__]
        return inspect.cleandoc(module.__doc__ or "")


def missing_needs(metric: Metric, comparison: Comparison) -> str | None:
    """The sentence that says which input the metric lacks, or None."""
    for need in metric.needs:
        sentence = _NEEDS[need](comparison)
        if sentence:
            return sentence
    return None


def _lacks_cine(comparison: Comparison) -> str | None:
    return (
        None if comparison.is_cine else "the volumes have a single frame; expected a cine (t > 1)"
    )


_NEEDS: Mapping[str, Callable[[Comparison], str | None]] = {
    "holdout": lambda c: None if len(c.holdout) else "no hold-out cohort was given",
    "conditions": lambda c: None if c.conditions else "no conditions (requested masks) were given",
    "labels": lambda c: (
        None if c.train.labeled or c.synthetic.labeled else "no cohort comes with label maps"
    ),
    "cine": _lacks_cine,
    "groups": lambda c: (
        None
        if any(c.train.groups) and any(c.synthetic.groups)
        else "train and synthetic cases do not both name a group"
    ),
    "generator": lambda c: (
        None if c.generator is not None else "no generator at hand, only its samples"
    ),
    "ledger": lambda c: None if c.ledger_records() else "the run has no ledger of energy",
}
