"""Measure and judge synthetic medical volumes: the public names, loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.cohort import Case, Cohort, read_cohort
    from audit.errors import AuditError, BadInput, NotComputable
    from audit.estimate import Estimate
    from audit.networks.dar_encoder import load_encoder
    from audit.result import AuditResult, Finding, load_result
    from audit.scoring import build_comparison, score
    from audit.volume import LabelMap, Volume

__all__ = [
    "AuditError", "AuditResult", "BadInput", "Case", "Cohort", "Estimate", "Finding", "LabelMap",
    "NotComputable", "Volume", "build_comparison", "load_encoder", "load_result", "read_cohort",
    "score",
]  # fmt: skip

_HOMES = {
    "AuditError": "errors", "BadInput": "errors", "NotComputable": "errors",
    "AuditResult": "result", "Finding": "result", "load_result": "result",
    "Case": "cohort", "Cohort": "cohort", "read_cohort": "cohort",
    "Estimate": "estimate", "LabelMap": "volume", "Volume": "volume",
    "build_comparison": "scoring", "score": "scoring", "load_encoder": "networks.dar_encoder",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"audit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'audit' has no attribute '{name}'")
