"""Which cases of an audited cohort to leave out, and what their absence costs."""

from pathlib import Path

import numpy as np

from audit.cohort import Cohort
from audit.errors import BadInput

LOOK_AT = 256


def flagged_ids(run: Path, *, suspicious: bool) -> set[str]:
    """Ids of synthetic cases that an audit takes for copies.

    Args:
        run: Run folder.
        suspicious: Take every case with p <= 0.05, not only confirmed copies and discoveries.

    Raises:
        BadInput: The run has no memorization columns.
    """
    import pandas as pd

    file = run / "cases.csv"
    column = "memorization.p_value" if suspicious else "memorization.flagged"
    table = pd.read_csv(file, dtype={"id": str}) if file.is_file() else pd.DataFrame()
    if column not in table.columns:
        raise BadInput(
            "the run says nothing of copies",
            f"{column} in cases.csv",
            "Score memorization.copy_rate",
        )
    rows = table[table["role"] == "synthetic"]
    marked = rows[column] <= 0.05 if suspicious else rows[column] == 1
    return set(rows["id"][marked])


def diversity(cohort: Cohort) -> float | None:
    """Mean of 1 - Pearson correlation over pairs of coarse volumes; None for a single case."""
    import torch

    from audit.preprocessing import fit_preprocessing

    picks = np.unique(np.linspace(0, len(cohort) - 1, min(LOOK_AT, len(cohort))).astype(int))
    if len(picks) < 2:
        return None
    preprocessing = fit_preprocessing(cohort)
    rows = []
    for i in picks:
        volume = torch.from_numpy(preprocessing(cohort[int(i)].image))
        rows.append(torch.nn.functional.adaptive_avg_pool3d(volume, 8).numpy().ravel())
    similarity = np.corrcoef(np.stack(rows))
    upper = similarity[np.triu_indices(len(rows), 1)]
    return float(1 - upper.mean())
