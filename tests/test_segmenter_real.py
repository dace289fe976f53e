"""The built-in segmenter across three real patients (Sunnybrook Cardiac Data, CC0)."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.cohort import cohort_of, read_cohort
from audit.preprocessing import fit_preprocessing
from audit.segmenter.inference import segment
from audit.segmenter.own_error import measure_error
from audit.segmenter.plan import make_plan
from audit.segmenter.training import Recipe, as_segmenter, train

DATA = Path(os.environ.get("VOXAUDIT_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
HEARTS = DATA / "sunnybrook" / "cohort.csv"
NAMES = {"lv": 3, "myocardium": 2}
RECIPE = Recipe(steps=120, batch=2, check_every=120)

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not HEARTS.is_file(), reason="no Sunnybrook cines: set VOXAUDIT_REAL_DATA"),
]


def test_the_segmenter_finds_the_left_ventricle_of_a_patient_it_never_saw():
    hearts = list(read_cohort(HEARTS, role="train", labels=NAMES))
    found = []
    for case in hearts:
        # Two patients are too few to hold one back: all steps are taken, none are chosen among.
        others = cohort_of("train", [h for h in hearts if h is not case])
        preprocessing = fit_preprocessing(others)
        plan = make_plan(
            NAMES,
            preprocessing.shape[1:],
            preprocessing.spacing_mm,
            temporal=True,
            window=None,
            voxels=32_768,
            levels=len(RECIPE.filters),
        )
        weights = train(others, others, plan, RECIPE, seed=0, device="cpu")
        weights = {n: w for n, w in weights.items() if n not in ("validation_dice", "steps")}
        segmenter = as_segmenter(weights, plan, RECIPE, device="cpu", key="", params={})
        made = replace(case.labels, array=segment(case.image, segmenter), frames=None)
        error = measure_error([case.labels], [made], [case.subject], seed=0)
        found.append(error.dice["lv"].value)
        print(len(found), plan.spacing_mm, error.as_params())
    assert np.median(found) > 0.5
