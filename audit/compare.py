"""Two or more runs side by side: each metric's change against the first, with its interval.

Per-case values are compared in pairs where two runs share cases (the same id, or the same requested
condition); that is far sharper than comparing cohorts. Findings are compared only where their
comparability keys agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.comparability import why_not_comparable
from audit.errors import BadInput
from audit.gates.noninferiority import Harm, harm_by_intervals, harm_by_pairs
from audit.result import AuditResult, Finding, load_result
from audit.run_path import find_run

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.90
FEWEST_PAIRS = 5


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run to compare.

    Attributes:
        name: For the table.
        result: What was measured.
        cases: Synthetic rows of cases.csv, or None.
    """

    name: str
    result: AuditResult
    cases: "pd.DataFrame | None" = None

    def _repr_html_(self) -> str:
        return self.result._repr_html_()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one run against the first run.

    Attributes:
        metric: Metric or column of cases.csv.
        run: Name of the run.
        baseline: Value of the first run.
        value: Value of this run.
        harm: Change in the bad direction, or None with a note.
        word: ``worse``, ``better``, ``no difference shown`` or ``not comparable``.
        note: How it was compared, or why not.
        unit: Unit of all of them.
    """

    metric: str
    run: str
    baseline: float | None
    value: float | None
    harm: Harm | None
    word: str
    note: str
    unit: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Flat, for tables and JSON."""
        return {
            "metric": self.metric,
            "run": self.run,
            "baseline": self.baseline,
            "value": self.value,
            "harm": self.harm.value if self.harm else None,
            "low": self.harm.low if self.harm else None,
            "high": self.harm.high if self.harm else None,
            "word": self.word,
            "note": self.note,
            "unit": self.unit,
        }


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read runs; equal names get the folder's name.

    Raises:
        BadInput: Fewer than two, or one is not a run.
    """
    if len(paths) < 2:
        raise BadInput(f"got {len(paths)} runs", "two or more")
    found = []
    for path in map(find_run, paths):
        result = load_result(path)
        found.append(Run(name=path.name or result.name, result=result, cases=_cases(path)))
    names = [run.name for run in found]
    if len(set(names)) < len(names):
        found = [
            Run(name=f"{i + 1}:{run.name}", result=run.result, cases=run.cases)
            for i, run in enumerate(found)
        ]
    return found


def compare(runs: Sequence[Run]) -> list[Row]:
    """Every finding of every further run against the first, then per-case values in pairs."""
    first, *others = runs
    rows = []
    for other in others:
        by_name = {f.metric: f for f in other.result.findings}
        rows += [
            _compare(old, by_name.get(old.metric), first, other) for old in first.result.findings
        ]
        rows += _paired(first, other)
    return rows


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """Rows in the order of reading: worse, better, undecided, not comparable."""
    order = {"worse": 0, "better": 1, "no difference shown": 2, "not comparable": 3}
    return sorted(rows, key=lambda row: order[row.word])


def comparison_frame(rows: Sequence[Row]) -> "pd.DataFrame":
    """The rows of a comparison as a table."""
    import pandas as pd

    return pd.DataFrame([row.as_dict() for row in rows])


def _compare(old: Finding, new: Finding | None, first: Run, other: Run) -> Row:
    shared: dict[str, Any] = {"metric": old.metric, "run": other.name, "unit": old.unit}
    value = new.value if new else None
    if new is None or new.status != "ok" or old.status != "ok":
        why = "not measured" if new is None else (new.reason or old.reason or "no number")
        return Row(**shared, baseline=old.value, value=value, harm=None, word="not comparable",
                   note=why)  # fmt: skip
    if not old.comparability or old.comparability != new.comparability:
        return Row(**shared, baseline=old.value, value=value, harm=None, word="not comparable",
                   note=why_not_comparable(old, new, first.result, other.result))  # fmt: skip
    ends = (old.value, old.low, old.high, new.value, new.low, new.high)
    if None in ends or old.better == "none":
        note = "no better direction" if old.better == "none" else "no interval"
        return Row(**shared, baseline=old.value, value=value, harm=None, word="no difference shown",
                   note=note)  # fmt: skip
    numbers = [float(v) for v in ends if v is not None]
    harm = harm_by_intervals(
        (numbers[0], numbers[1], numbers[2]),
        (numbers[3], numbers[4], numbers[5]),
        levels=(old.level or 0.95, new.level or 0.95),
        better=old.better,
        confidence=CONFIDENCE,
    )
    return Row(**shared, baseline=old.value, value=value, harm=harm, word=_word(harm),
               note=harm.method)  # fmt: skip


def _paired(first: Run, other: Run) -> list[Row]:
    """Per-case columns whose metric says which direction is better."""
    pairs = _join(first.cases, other.cases)
    if pairs is None:
        return []
    rows = []
    direction: dict[str, str] = {f.name: f.better for f in first.result.findings}
    for column in sorted({c[:-2] for c in pairs.columns if c.endswith("_a")}):
        better = _direction(column, direction)
        table = pairs[[f"{column}_a", f"{column}_b"]].dropna()
        if better is None or len(table) < FEWEST_PAIRS:
            continue
        a, b = (table[f"{column}_{side}"].to_numpy(dtype=np.float64) for side in "ab")
        harm = harm_by_pairs((b - a).tolist(), better=better, confidence=CONFIDENCE)
        rows.append(
            Row(
                metric=f"{column} (per case)",
                run=other.name,
                baseline=float(a.mean()),
                value=float(b.mean()),
                harm=harm,
                word=_word(harm),
                note=harm.method,
            )
        )
    return rows


def _join(a: "pd.DataFrame | None", b: "pd.DataFrame | None") -> "pd.DataFrame | None":
    """Rows of both runs that answer the same request; None where there are none."""
    if a is None or b is None:
        return None
    conditional = all("condition" in t.columns and t["condition"].notna().any() for t in (a, b))
    key = "condition" if conditional else "id"
    a, b = (t[t[key].notna() & ~t[key].duplicated()] for t in (a, b))
    joined = a.merge(b, on=key, suffixes=("_a", "_b"))
    return joined if len(joined) >= FEWEST_PAIRS else None


def _direction(column: str, direction: dict[str, str]) -> str | None:
    """``adherence.dice.lv`` takes the direction of the metric ``adherence.dice``."""
    parts = column.split(".")
    for size in (len(parts), len(parts) - 1):
        better = direction.get(".".join(parts[:size]))
        if better in ("lower", "higher"):
            return better
    return None


def _word(harm: Harm) -> str:
    if harm.low > 0:
        return "worse"
    return "better" if harm.high < 0 else "no difference shown"


def _cases(path: Path) -> "pd.DataFrame | None":
    file = (path if path.is_dir() else path.parent) / "cases.csv"
    if not file.is_file():
        return None
    import pandas as pd

    table = pd.read_csv(file, dtype={"id": str, "role": str, "group": str, "condition": str})
    return table[table["role"] == "synthetic"] if {"id", "role"} <= set(table.columns) else None
