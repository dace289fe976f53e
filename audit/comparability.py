"""When two numbers may be compared: what defines one, and which of it two runs do not share."""

from collections.abc import Mapping
from typing import Any

from audit.result import AuditResult, Finding

# Parameters of a finding that define its number, by what a reader calls them; the others describe
# how this run's fit went.
DEFINING = {
    "version": "version of the metric",
    "definition": "definition",
    "extractor": "extractor",
    "weights_sha256": "weights",
    "trained_on": "training cohort of the encoder",
    "kernel": "kernel",
    "k": "k",
    "components": "components",
    "tolerance_mm": "tolerance in mm",
    "segmenter": "segmenter",
    "host": "machine",
    "voxels": "voxels",
}


def differing_params(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Defining parameters that two findings do not share, as ``extractor a → b``."""
    return [
        f"{words} {_brief(old.get(name))} → {_brief(new.get(name))}"
        for name, words in DEFINING.items()
        if old.get(name) != new.get(name)
    ]


def why_not_comparable(old: Finding, new: Finding, before: AuditResult, after: AuditResult) -> str:
    """What two findings of one metric with different keys of comparability do not share.

    Args:
        old: Of the first run.
        new: Of the other.
        before: The first run.
        after: The other.

    Returns:
        Everything that differs, such as ``hold-out 24 → 30 cases``; never what might.
    """
    if not old.comparability or not new.comparability:
        return "a run says nothing of its settings"
    found = differing_params(old.params, new.params)
    found += _profile(before, after)
    if old.section != "footprint":  # a cost depends on no cohort and on no grid
        found += [*_cohorts(before, after), *_preprocessing(before, after)]
    return "; ".join(found) or "a setting that the results do not record"


def _profile(before: AuditResult, after: AuditResult) -> list[str]:
    old, new = (run.provenance.get("profile") for run in (before, after))
    return [f"profile {_brief(old)} → {_brief(new)}"] if old != new else []


def _cohorts(before: AuditResult, after: AuditResult) -> list[str]:
    found = []
    for role, words in (("holdout", "hold-out"), ("conditions", "requested masks")):
        old, new = before.cohorts.get(role), after.cohorts.get(role)
        sizes = [cohort.n if cohort else 0 for cohort in (old, new)]
        if sizes[0] != sizes[1]:
            found.append(f"{words} {sizes[0] or 'none'} → {sizes[1] or 'none'} cases")
        elif old and new and old.hash != new.hash:
            found.append(f"other {words} of equal n")
    made = [run.cohorts["synthetic"].n if "synthetic" in run.cohorts else 0
            for run in (before, after)]  # fmt: skip
    if made[0] != made[1]:
        found.append(f"{made[0]} → {made[1]} synthetic cases")
    return found


def _preprocessing(before: AuditResult, after: AuditResult) -> list[str]:
    old, new = (run.provenance.get("preprocessing", {}) for run in (before, after))
    return [
        f"preprocessing: {name} {_brief(old.get(name))} → {_brief(new.get(name))}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _brief(value: Any) -> str:
    """A value in a few characters; of a hash the beginning."""
    if value is None:
        return "none"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:8]}…"
