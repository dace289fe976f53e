"""AuditResult ⇄ result.json: what was measured, as frozen pydantic models that refuse NaN.

Light on purpose: reports, gates and notebooks read only this.
"""

import json
import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from audit.errors import BadInput

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

SCHEMA_VERSION = "1.0"


class Record(BaseModel):
    """Base of everything on disk: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Finding(Record):
    """One number (or the reason why there is none).

    Attributes:
        metric: Path of the metric, with the variant in brackets:
            ``fidelity.kernel_distance[ssl3d]``.
        value: Point estimate; None where not computable.
        low: Lower end of the interval.
        high: Upper end of the interval.
        level: Nominal coverage of the interval.
        unit: Unit of value and interval; empty for a pure number.
        better: Direction in which the metric improves.
        n: Independent units (subjects) behind the number.
        method: How the interval was made.
        reference: Points to read the value against, in the same unit, such as
            ``real_vs_real`` (the floor at the same n) or ``ceiling``.
        p_value: Of the test that the metric names in ``params["test"]``.
        status: ``ok`` or ``not_computable``.
        reason: Why there is no number.
        params: What the number depends on: extractor and its weights' hash, kernel, k, ...
        series: Data of the metric's figures: name to list; no ids, no voxels.
        inputs_key: Hash of everything the number was computed from; a resumed run reuses equal
            ones.
        comparability: Hash of metric version, extractor, preprocessing, n and profile; numbers
            with different keys are not compared.
    """

    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    unit: str = ""
    better: Literal["lower", "higher", "none"] = "none"
    n: int = 0
    method: str = ""
    reference: dict[str, float | None] = Field(default_factory=dict)
    p_value: float | None = None
    status: Literal["ok", "not_computable"] = "ok"
    reason: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    series: dict[str, list[Any]] = Field(default_factory=dict)
    inputs_key: str = ""
    comparability: str = ""

    @property
    def name(self) -> str:
        """Metric without its variant."""
        return self.metric.split("[")[0]

    @property
    def section(self) -> str:
        """Question the metric belongs to: the first part of its path."""
        return self.metric.split(".")[0]

    @property
    def variant(self) -> str:
        """What stands in brackets, or an empty string."""
        return self.metric.partition("[")[2].rstrip("]")


class PhaseRecord(Record):
    """Time, energy and work of one phase, summed over all attempts of the run.

    Attributes:
        phase: ``stage1_train``, ``encode_latents``, ``denoiser_train``, ``adapter_train``,
            ``sampling``, ``decoding``, ``audit.<part>`` or ``unattributed``.
        duration_s: Exclusive wall time in s.
        energy_kwh: Energy in kWh by component (``cpu``, ``gpu``, ``ram``); None where missing.
        method: How each component was obtained: ``counter``, ``power_sensor``, ``load_model``,
            ``constant``, or ``missing: <reason>``.
        work: What was done: ``volumes``, ``voxels``, ``denoiser_calls``, ``steps``, ``pairs``.
        peak_memory_bytes: Peak by ``host`` and ``device``; None where missing.
        attempts: Runs of the command that added to this phase.
        hosts: Keys of the machines that metered it (``audit.host``); empty where nothing did.
    """

    phase: str
    duration_s: float
    energy_kwh: dict[str, float | None] = Field(default_factory=dict)
    method: dict[str, str] = Field(default_factory=dict)
    work: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: dict[str, int | None] = Field(default_factory=dict)
    attempts: int = 1
    hosts: tuple[str, ...] = ()


class CohortSummary(Record):
    """What a reader needs to know of a cohort; no ids, no paths.

    Attributes:
        n: Cases.
        n_subjects: Subjects.
        hash: SHA-256 over contents.
        labeled: Whether label maps came with it.
        shape: Most common (c, t, z, y, x).
        spacing_mm: Most common spacing (z, y, x); None where unknown.
        notes: Sentences, such as how many files were skipped and why.
    """

    n: int
    n_subjects: int
    hash: str
    labeled: bool = False
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


class Verdict(Record):
    """What a gate said of a finding.

    Attributes:
        gate: Name of the gate.
        metric: Finding it judged.
        verdict: ``PASSED``, ``FAILED``, ``IMPROVED``, ``HELD``, ``SUSPECT``, ``REGRESSED``,
            ``UNDERPOWERED``, ``NOT_COMPARABLE`` or ``ERROR``.
        severity: ``block`` or ``warn``.
        message: One sentence with the numbers.
        value: What was judged.
        low: Lower end of its interval.
        high: Upper end of its interval.
        threshold: What it was judged against.
        margin: Non-inferiority margin of a comparison.
        baseline: Accepted value of a comparison.
    """

    gate: str
    metric: str
    verdict: Literal[
        "PASSED",
        "FAILED",
        "IMPROVED",
        "HELD",
        "SUSPECT",
        "REGRESSED",
        "UNDERPOWERED",
        "NOT_COMPARABLE",
        "ERROR",
    ]
    severity: Literal["block", "warn"] = "block"
    message: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    margin: float | None = None
    baseline: float | None = None


class AuditResult(Record):
    """Everything one audit found.

    Attributes:
        schema_version: Of this file.
        name: What was audited, in the user's words.
        status: ``running``, ``ok`` or ``failed``; a running file is valid and may be read.
        findings: One per metric and variant.
        ledger: One per phase.
        provenance: Versions, seed, profile, argv without paths, hardware.
        cohorts: By role.
        verdicts: Of the last gate that was run on it.
    """

    schema_version: str = SCHEMA_VERSION
    name: str = ""
    status: Literal["running", "ok", "failed"] = "running"
    findings: tuple[Finding, ...] = ()
    ledger: tuple[PhaseRecord, ...] = ()
    provenance: dict[str, Any] = Field(default_factory=dict)
    cohorts: dict[str, CohortSummary] = Field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    _folder: Path | None = PrivateAttr(default=None)  # never written: a path names people

    def __getitem__(self, metric: str) -> Finding:
        """The finding of this exact name, or the only one with this name and any variant.

        Raises:
            KeyError: None, or several variants, fit.
        """
        fits = [f for f in self.findings if f.metric == metric] or [
            f for f in self.findings if f.name == metric
        ]
        if len(fits) != 1:
            found = ", ".join(f.metric for f in fits) or "none"
            raise KeyError(f"{metric}: expected one finding, observed {found}")
        return fits[0]

    def to_frame(self) -> "pd.DataFrame":
        """All findings as a table, one row each."""
        import pandas as pd

        hidden = {"series", "inputs_key"}
        rows = [f.model_dump(exclude=hidden) for f in self.findings]
        return pd.DataFrame(rows, columns=[c for c in Finding.model_fields if c not in hidden])

    def cases(self) -> "pd.DataFrame":
        """Per-case values of every role, as in the run's cases.csv.

        Raises:
            BadInput: The result lies in no run folder, or nothing was measured by case.
        """
        import pandas as pd

        file = self._run_folder() / "cases.csv"
        if not file.is_file():
            raise BadInput("the run has no cases.csv", "a finished run", "Score the run again")
        return pd.read_csv(file, dtype={"id": str, "role": str, "group": str, "condition": str})

    def show(
        self, case: str | None = None, *, kind: Literal["slices", "cine"] = "slices"
    ) -> "npt.NDArray[Any]":
        """Draw a synthetic volume that the run kept.

        Args:
            case: Its id; None takes the first.
            kind: ``slices``: three planes through the center; ``cine``: the central slice in time.

        Returns:
            Array of matplotlib axes, to restyle.

        Raises:
            BadInput: The result lies in no run folder, which kept no such case, or the case has a
                single frame.
        """
        # By name, when asked: measuring must not depend on drawing (see CONTRIBUTING.md).
        drawing = import_module("reports.show")
        axes: npt.NDArray[Any] = drawing.show(self._run_folder(), case, kind=kind)
        return axes

    def _run_folder(self) -> Path:
        if self._folder is None:
            raise BadInput(
                "this result lies in no run folder", "one that was written", "Score with out=FOLDER"
            )
        return self._folder

    def _repr_html_(self) -> str:
        from audit.notebook_view import html_of

        return html_of(self)


def write_result(result: AuditResult, folder: Path) -> None:
    """Write ``result.json`` atomically; the result remembers its folder."""
    write_text(folder / "result.json", result.model_dump_json(indent=1))
    result._folder = folder


def load_result(path: str | Path) -> AuditResult:
    """Read an audit from a run folder or its ``result.json``.

    Raises:
        BadInput: There is none, or it is not one.
    """
    from audit.run_path import find_run

    file = find_run(path)
    file = file / "result.json" if file.is_dir() else file
    if not file.is_file():
        raise BadInput(
            f"no result.json at {path}", "a run folder", "Run `voxaudit score` or `voxaudit run`"
        )
    try:
        result = AuditResult.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{file.name} is not a valid result ({str(error).splitlines()[0]})",
            f"schema {SCHEMA_VERSION}",
            "Score the run again",
        ) from error
    result._folder = file.parent
    return result


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: readers see the old content or the new, never half."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """As ``write_text`` for bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
