"""Per-case values of many metrics, joined into the one table that a run writes."""

import pandas as pd

from audit.run_folder import join_cases


def test_hundreds_of_columns_of_any_type_join_without_a_fragmented_frame() -> None:
    """pandas' PerformanceWarning is an error here; it came with over a hundred object columns."""
    tables = [
        pd.DataFrame({"id": ["a", "b"], "role": "train", f"anatomy.q{k}": [k, None]}, dtype=object)
        for k in range(150)
    ]
    joined = join_cases([*tables, pd.DataFrame({"id": ["b"], "role": "train", "x": [1.5]})])
    assert joined.shape == (2, 153)
    assert joined["anatomy.q7"].tolist()[0] == 7
    assert joined.loc[joined["id"] == "b", "x"].item() == 1.5
