"""Three real hearts: function from their contours equals the values published with them."""

import csv
import os
from pathlib import Path

import pytest

from audit.cohort import read_cohort
from audit.heart.cine import cardiac_function, read_cycle

DATA = Path(
    os.environ.get("VOXAUDIT_REAL_DATA", Path(__file__).resolve().parents[3] / "../shared/data")
)
MANIFEST = DATA / "sunnybrook" / "cohort.csv"
LABELS = {"lv": 3, "myocardium": 2}


@pytest.mark.real
@pytest.mark.skipif(not MANIFEST.is_file(), reason="no Sunnybrook hearts at VOXAUDIT_REAL_DATA")
def test_function_of_real_hearts_is_within_1_percent_of_their_contours():
    with MANIFEST.open(encoding="utf-8") as file:
        published = {row["id"]: row for row in csv.DictReader(file)}
    cohort = read_cohort(MANIFEST, role="train", labels=LABELS)
    assert len(cohort) == 3
    for case in cohort:
        assert case.labels is not None
        function = cardiac_function(read_cycle(case.labels))
        row = published[case.id]
        for name, column in (
            ("lv_edv_ml", "contour_edv_ml"),
            ("lv_esv_ml", "contour_esv_ml"),
            ("lv_ef_percent", "contour_ef_percent"),
        ):
            assert function[name] == pytest.approx(float(row[column]), rel=0.01)
