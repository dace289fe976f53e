"""gates.yaml: what a run must satisfy, validated with one line per mistake."""

import re
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from audit.errors import BadInput, did_you_mean
from audit.result import Record

Bound = Literal["value", "low", "high", "lower95", "upper95"]


class Defaults(Record):
    """What a gate takes where it says nothing.

    Attributes:
        confidence: Two-sided level of the interval of a change against the baseline.
        margin: Largest harm against the baseline that is accepted: a number in the metric's unit,
            ``"5%"`` of the baseline, or ``auto`` (three calibrated standard deviations).
        min_n: Subjects below which a gate does not decide.
        min_replicates: Runs with other seeds, on both sides, below which a comparison that rests
            on calibrated noise does not decide.
        severity: ``block`` or ``warn``; a warning never changes the exit code.
        on_underpowered: ``no_decision`` (exit code 3), ``fail`` or ``pass``.
        on_missing: ``fail`` (exit code 1) or ``no_decision``; a missing number never passes.
    """

    confidence: float = Field(default=0.90, gt=0, lt=1)
    margin: float | str = "auto"
    min_n: int = Field(default=2, ge=1)
    min_replicates: int = Field(default=3, ge=1)
    severity: Literal["block", "warn"] = "block"
    on_underpowered: Literal["no_decision", "fail", "pass"] = "no_decision"
    on_missing: Literal["fail", "no_decision"] = "fail"


class Gate(Record):
    """One requirement: a threshold on a bound, or non-inferiority against the baseline.

    Attributes:
        metric: Metric, with variant in brackets or without (then all variants); ``*`` globs.
        bound: Which end is judged; the unfavorable end of the interval unless given.
        max: Greatest value allowed.
        min: Least value allowed.
        vs: ``baseline`` compares with the accepted baseline.
        reason: Why this gate exists, for the report.
    """

    metric: str
    bound: Bound | None = None
    max: float | None = None
    min: float | None = None
    vs: Literal["baseline"] | None = None
    reason: str = ""
    confidence: float | None = Field(default=None, gt=0, lt=1)
    margin: float | str | None = None
    min_n: int | None = None
    min_replicates: int | None = None
    severity: Literal["block", "warn"] | None = None
    on_underpowered: Literal["no_decision", "fail", "pass"] | None = None
    on_missing: Literal["fail", "no_decision"] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "Gate":
        forms = [self.max is not None, self.min is not None, self.vs is not None]
        if sum(forms) != 1:
            raise ValueError("a gate needs exactly one of max, min and vs: baseline")
        return self

    @property
    def text(self) -> str:
        """The requirement in a few words."""
        if self.vs:
            return "not worse than the accepted baseline"
        sign, limit = ("≤", self.max) if self.max is not None else ("≥", self.min)
        return f"{self.judged} {sign} {limit:g}"

    @property
    def judged(self) -> Bound:
        """The end of the interval that the threshold is held against."""
        return self.bound or ("high" if self.max is not None else "low")


class Ignore(Record):
    """A gate that somebody set aside for a while; it is printed in every report.

    Attributes:
        metric: As in ``Gate``.
        until: Last day on which it holds.
        reason: Why.
        by: Who said so.
    """

    metric: str
    until: date
    reason: str = Field(min_length=3)
    by: str = ""


class GatesFile(Record):
    """The whole of gates.yaml.

    Attributes:
        schema_version: Of this file.
        defaults: What gates take where they say nothing.
        baseline: Accepted baseline, relative to this file; ``{generator}`` stands for the name of
            the run folder.
        gates: What a run must satisfy.
        ignore: What was set aside for a while.
    """

    schema_version: Literal[1] = 1
    defaults: Defaults = Defaults()
    baseline: str | None = None
    gates: tuple[Gate, ...] = Field(min_length=1)
    ignore: tuple[Ignore, ...] = ()

    def setting(self, gate: Gate, name: str) -> Any:
        """A setting of a gate, or the file's default."""
        own = getattr(gate, name)
        return own if own is not None else getattr(self.defaults, name)


PACKAGED_GATES = GatesFile(
    gates=(
        Gate(
            metric="memorization.copy_rate",
            bound="upper95",
            max=0.20,
            min_n=8,
            reason="At most 20 % copies, shown with one-sided 95 % confidence. Lax on purpose, so "
            "that 14 volumes can show it, and 32 with up to two false alarms; a release wants "
            "0.02, which needs 149.",
        ),
    )
)


def matches(pattern: str, metric: str) -> bool:
    """Whether a pattern selects a metric; without a variant it selects all of them.

    Brackets are literal here: ``fidelity.kernel_distance[ssl3d]`` is a name, not a glob class.
    """
    name, _, variant = pattern.partition("[")
    own_name, _, own_variant = metric.partition("[")
    if not fnmatchcase(own_name, name):
        return False
    return "[" not in pattern or fnmatchcase(own_variant.rstrip("]"), variant.rstrip("]"))


def read_gates(path: str | Path | None) -> GatesFile:
    """Read gates.yaml; the packaged gates where no path is given.

    Raises:
        BadInput: The file is absent, not YAML, or has an unknown or contradictory entry.
    """
    if path is None:
        return PACKAGED_GATES
    file = Path(path)
    if not file.is_file():
        raise BadInput(f"no gates file '{file.name}'", "a YAML file", "Write one: voxaudit init")
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        return GatesFile.model_validate(data if data is not None else {})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise BadInput(f"{file.name} is not YAML ({line})", "gates.yaml") from error
    except ValidationError as error:
        raise BadInput(
            f"{file.name}: {explain(error, GatesFile)}",
            "gates.yaml as documented",
            "See docs/gates.md",
        ) from error


def explain(error: ValidationError, model: type[Record]) -> str:
    """The first mistake as one sentence with its place, and what was probably meant."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "top level"
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg']}"
    known: set[str] = set(_fields_at(model, first["loc"][:-1]))
    return f"unknown key '{place}', {did_you_mean(str(first['loc'][-1]), known)}"


def _fields_at(model: type[Record], place: tuple[int | str, ...]) -> list[str]:
    inner: dict[str, type[Record]] = {}
    inner |= {"defaults": Defaults, "gates": Gate, "ignore": Ignore}
    for part in place:
        model = inner.get(str(part), model)
    return list(model.model_fields)


def margin_of(margin: float | str, *, baseline: float, sd_aa: float | None) -> float | None:
    """The largest accepted harm as a number; None where ``auto`` has no calibration.

    Raises:
        BadInput: It is neither a positive number, a percentage nor ``auto``.
    """
    if margin == "auto":
        return 3 * sd_aa if sd_aa else None
    percent = re.fullmatch(r"\s*([0-9.]+)\s*%\s*", str(margin))
    try:
        size = float(percent[1]) / 100 * abs(baseline) if percent else float(margin)
    except ValueError:
        size = 0.0
    if size <= 0:
        raise BadInput(
            f"a gate has margin '{margin}' (baseline {baseline:g})",
            "a positive number, a percentage of a baseline that is not 0, or auto",
        )
    return size
