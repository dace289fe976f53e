"""The published FRD ranks an honest cohort above blur and noise (needs the extra ``radiomics``).

On phantoms cut and scaled to 24 voxels of 2 mm: at their own size a volume takes minutes.
"""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest

from audit.cache import Cache
from audit.case import Case
from audit.cohort import Cohort, cohort_of
from audit.comparison import Comparison
from audit.extractor import Workshop
from audit.ledger import Ledger
from audit.metric import METRICS
from audit.phantoms import spoil, thorax_cohort
from audit.preprocessing import fit_preprocessing
from audit.result import Finding
from audit.scoring import measure
from audit.volume import Volume

NAME = "fidelity.frechet_radiomics_distance"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("radiomics") is None,
    reason="pyradiomics-cuda is not installed: pip install 'voxaudit[radiomics]'",
)


def small(cohort: Cohort) -> Cohort:
    cases = []
    for case in cohort:
        middle = np.ascontiguousarray(case.image.array[..., 4:28, 4:28, 4:28])
        image = Volume(array=middle, spacing_mm=(2.0, 2.0, 2.0))
        cases.append(Case(id=case.id, subject=case.subject, image=image))
    return cohort_of(cohort.role, cases)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    train, holdout, synthetic = (
        small(thorax_cohort(count, role=role, seed=seed))
        for seed, (role, count) in enumerate((("train", 16), ("holdout", 10), ("synthetic", 10)))
    )
    cache = Cache(tmp_path_factory.mktemp("cache"))
    return Comparison(
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        conditions=None,
        preprocessing=fit_preprocessing(train),
        workshop=Workshop(cache=cache, seed=0, device="cpu", ledger=Ledger()),
        extractor_names=(),
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
    assert "pip install 'voxaudit[radiomics]'" in finding.reason
