"""Everything that reports draw from: the result, per-case values and exemplars of one run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from audit.errors import BadInput
from audit.result import AuditResult, Finding, load_result
from reports.exemplars import Exemplar, read_exemplars

if TYPE_CHECKING:
    import pandas as pd

Images = Literal["none", "redacted", "all"]


@dataclass(frozen=True, kw_only=True)
class Material:
    """One run, read once.

    Attributes:
        result: Findings, ledger, provenance, verdicts.
        cases: cases.csv, or None.
        synthetic: Exemplars of synthetic cases.
        real: Exemplars of real cases; empty where they may not be shown.
        pairs: Rows of private/pairs.csv; empty where they may not be shown.
        paired: Exemplars of the closest pairs; real ones only where they may be shown.
        worst: Synthetic cases that follow their mask least, with the labels they were judged by.
        requested: The same cases with the mask they were asked for; empty where patients are.
        internal: Whether real patients may be shown.
        public_phantoms: Whether the "real" cases are phantoms, which anyone may see.
        errors: Names of the metrics that left a traceback.
        gate_notes: Ignores in force and expired ones, as the last gate printed them.
        curve: Rows of curve.csv: numbers at several moments of the training.
    """

    result: AuditResult
    cases: "pd.DataFrame | None" = None
    synthetic: Sequence[Exemplar] = ()
    real: Sequence[Exemplar] = ()
    pairs: Sequence[dict[str, Any]] = ()
    paired: Sequence[Exemplar] = ()
    worst: Sequence[Exemplar] = ()
    requested: Sequence[Exemplar] = ()
    internal: bool = False
    public_phantoms: bool = False
    errors: Sequence[str] = ()
    gate_notes: Sequence[str] = ()
    curve: Sequence[dict[str, Any]] = ()

    @property
    def populations(self) -> tuple[str, ...]:
        """The self-check's populations that resemble this run: cines, or still volumes."""
        shapes = [c.shape for c in self.result.cohorts.values() if len(c.shape) > 1]
        if not shapes:
            return ("thorax", "patches", "heart")
        return ("heart",) if shapes[0][1] > 1 else ("thorax", "patches")

    def findings(self, section: str) -> list[Finding]:
        """Findings of one section, in order."""
        return [f for f in self.result.findings if f.section == section]

    def named(self, metric: str) -> list[Finding]:
        """Computed findings of one metric, all variants."""
        return [f for f in self.result.findings if f.name == metric and f.status == "ok"]

    def case_values(self, column: str) -> dict[str, list[float]]:
        """Finite values of a column of cases.csv by role; roles without values are left out."""
        if self.cases is None or column not in self.cases.columns:
            return {}
        import pandas as pd

        values = pd.to_numeric(self.cases[column], errors="coerce")
        found = {
            role: values[(self.cases["role"] == role) & values.notna()].tolist()
            for role in ("train", "holdout", "synthetic")
        }
        return {role: rows for role, rows in found.items() if rows}

    def case_columns(self, prefix: str) -> list[str]:
        """Numeric columns of cases.csv under a prefix such as ``cardiac.``."""
        if self.cases is None:
            return []
        return [c for c in self.cases.columns if c.startswith(prefix) and self.case_values(c)]


def read_material(run: str | Path, *, images: Images = "redacted") -> Material:
    """Read a run folder for drawing.

    Real volumes and links to them are read only with ``images="all"``, or where provenance says
    that the real cohort is made of public phantoms.

    Raises:
        BadInput: There is no result.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise BadInput(f"no run folder '{folder.name}'", "a folder with result.json")
    result = load_result(folder)
    public = result.provenance.get("real_images_public") is True
    shown = images == "all" or (public and images != "none")
    errors = sorted(file.stem for file in (folder / "errors").glob("*.txt"))
    return Material(
        result=result,
        cases=_read_table(folder / "cases.csv"),
        synthetic=read_exemplars(folder / "exemplars") if images != "none" else [],
        real=read_exemplars(folder / "private" / "exemplars") if shown else [],
        worst=read_exemplars(folder / "exemplars" / "worst") if images != "none" else [],
        requested=read_exemplars(folder / "private" / "exemplars" / "worst") if shown else [],
        paired=_paired(folder, made=images != "none", real=shown),
        pairs=_read_rows(folder / "private" / "pairs.csv") if shown else [],
        internal=images == "all" and not public,
        public_phantoms=public,
        errors=errors,
        gate_notes=_gate_notes(folder / "gate.json"),
        curve=_read_rows(folder / "curve.csv"),
    )


def _paired(folder: Path, *, made: bool, real: bool) -> list[Exemplar]:
    """Exemplars that were kept for the closest pairs."""
    found = read_exemplars(folder / "exemplars" / "pairs") if made else []
    return found + (read_exemplars(folder / "private" / "exemplars" / "pairs") if real else [])


def _gate_notes(file: Path) -> list[str]:
    if not file.is_file():
        return []
    try:
        return [str(note) for note in json.loads(file.read_text(encoding="utf-8"))["notes"]]
    except (ValueError, KeyError, TypeError):
        return ["gate.json cannot be read; run the gate again"]


def _read_table(file: Path) -> "pd.DataFrame | None":
    if not file.is_file():
        return None
    import pandas as pd

    table = pd.read_csv(file, dtype={"id": str, "role": str, "group": str})
    return table if {"id", "role"} <= set(table.columns) else None


def _read_rows(file: Path) -> list[dict[str, Any]]:
    table = _read_rows_table(file)
    return [] if table is None else [{str(k): v for k, v in r.items()} for r in table]


def _read_rows_table(file: Path) -> list[dict[Any, Any]] | None:
    if not file.is_file():
        return None
    import pandas as pd

    return pd.read_csv(file).to_dict(orient="records")
