"""The published FRD ranks an honest cohort above blur and noise (needs the extra ``radiomics``).

On phantoms cut and scaled to 24 voxels of 2 mm: at their own size a volume takes minutes.
"""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest

from audit.case import Case
from audit.cohort import Cohort, cohort_of
from audit.comparison import Comparison
from audit.metric import METRICS
from audit.phantoms import spoil
from audit.preprocessing import fit_preprocessing
from audit.result import Finding
from audit.scoring import measure
from audit.volume import Volume

NAME = "fidelity.frechet_radiomics_distance"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("radiomics") is None,
    reason="pyradiomics-cuda is not installed: pip install pyradiomics-cuda==1.0.4",
)


def small(cohort: Cohort, count: int) -> Cohort:
    cases = []
    for case in list(cohort)[:count]:
        middle = np.ascontiguousarray(case.image.array[..., 4:28, 4:28, 4:28])
        image = Volume(array=middle, spacing_mm=(2.0, 2.0, 2.0))
        cases.append(Case(id=case.id, subject=case.subject, image=image))
    return cohort_of(cohort.role, cases)


@pytest.fixture(scope="module")
def comparison(thorax_comparison: Comparison) -> Comparison:
    train = small(thorax_comparison.train, 16)
    return replace(
        thorax_comparison,
        train=train,
        holdout=small(thorax_comparison.holdout, 10),
        synthetic=small(thorax_comparison.synthetic, 10),
        conditions=None,
        preprocessing=fit_preprocessing(train),
        _made={},
    )


def found(comparison: Comparison) -> Finding:
    (finding,) = measure(NAME, comparison)[0]
    return finding


@needs_package
def test_ranks_an_honest_cohort_above_the_failures_it_declares(comparison: Comparison) -> None:
    honest = found(comparison)
    assert honest.p_value > 0.05
    assert honest.low < honest.value < honest.high
    assert honest.params["feature_package"].startswith("PyRadiomics ")
    for failure in METRICS.load(NAME).detects:
        made = spoil(comparison.synthetic, failure, 1.0)
        broken = found(replace(comparison, synthetic=made, _made={}))
        assert broken.p_value <= 0.05, failure
        assert broken.low > honest.value, failure


def test_without_the_package_the_finding_says_how_to_install_it(
    comparison: Comparison, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "radiomics", None)
    finding = found(replace(comparison, _made={}))
    assert finding.status == "not_computable"
    assert "pip install pyradiomics-cuda" in finding.reason
