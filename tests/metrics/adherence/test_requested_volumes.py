"""Volumes asked for and got, case by case: what Bland–Altman is drawn from."""

from dataclasses import replace

import numpy as np
import pytest

from audit.masks.scores import score_structure
from audit.metrics.adherence import volume_error
from audit.phantoms import spoil


def test_volumes_are_in_milliliters_and_keep_the_sign_of_their_difference():
    asked = np.zeros((10, 10, 10), dtype=bool)
    asked[:5, :5, :4] = True
    less = asked & (np.arange(10) < 2)[:, None, None]
    spacing_mm = (2.0, 5.0, 10.0)
    scores = score_structure(asked, less, spacing_mm)
    assert scores["requested_ml"] == pytest.approx(10.0)
    assert scores["made_ml"] == pytest.approx(4.0)
    gone = score_structure(asked, np.zeros_like(asked), spacing_mm)
    assert (gone["requested_ml"], gone["made_ml"]) == (pytest.approx(10.0), 0.0)


def test_cases_hold_both_volumes_beside_the_unsigned_error(thorax_comparison):
    lacking = spoil(thorax_comparison.synthetic.subset(range(4)), "missing_organ", 0.5)
    comparison = replace(thorax_comparison, synthetic=lacking, _made={})
    found = volume_error.compute(comparison, np.random.default_rng(0))["lung_left"]
    table = found.cases
    asked, got = (table[f"adherence.{v}.lung_left"] for v in ("requested_ml", "made_ml"))
    error = table["adherence.volume_error_percent.lung_left"]
    np.testing.assert_allclose(100 * abs(got - asked) / asked, error)
    assert (got == 0).sum() == 2
    assert (asked > 0).all()
