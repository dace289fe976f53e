"""Findings and per-case values as CSV and Parquet."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.result import AuditResult, write_bytes
from reports.material import read_material

if TYPE_CHECKING:
    import pandas as pd


def write_tables(run: str | Path, folder: Path) -> list[Path]:
    """Write findings.csv, findings.parquet, cases.csv and cases.parquet (long: one value a row).

    Args:
        run: Run folder.
        folder: Where to write.

    Returns:
        The files.
    """
    material = read_material(run, images="none")
    tables = {"findings": findings_table(material.result)}
    if material.cases is not None:
        tables["cases"] = long_cases(material.cases)
    written = []
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        write_bytes(path, table.to_csv(index=False).encode())
        written.append(path)
        path = folder / f"{name}.parquet"
        write_bytes(path, table.to_parquet(index=False))
        written.append(path)
    return written


def findings_table(result: AuditResult) -> "pd.DataFrame":
    """One row a finding; params as JSON, reference points as columns."""
    import pandas as pd

    keys = sorted({key for f in result.findings for key in f.reference})
    rows: list[dict[str, Any]] = []
    for f in result.findings:
        row = f.model_dump(exclude={"series", "inputs_key", "reference", "params"})
        row |= {f"reference.{key}": f.reference.get(key) for key in keys}
        row["params"] = json.dumps(f.params, sort_keys=True, default=str)
        rows.append(row)
    return pd.DataFrame(rows)


def long_cases(cases: "pd.DataFrame") -> "pd.DataFrame":
    """Per-case values in long form: id, role, group, metric, value."""
    import pandas as pd

    fixed = [c for c in ("id", "role", "group") if c in cases.columns]
    numeric = [
        c
        for c in cases.columns
        if c not in fixed and pd.to_numeric(cases[c], errors="coerce").notna().any()
    ]
    long = cases.melt(id_vars=fixed, value_vars=numeric, var_name="metric", value_name="value")
    long["value"] = pd.to_numeric(long["value"], errors="coerce")
    return long.dropna(subset=["value"]).reset_index(drop=True)
