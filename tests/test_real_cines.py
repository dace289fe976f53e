"""An audit of real short-axis cines: at the floor against themselves, above it when spoiled.

Slices of three patients stand for cases here, so that the instrument has something to measure;
nothing is claimed of a population.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from audit.cache import Cache
from audit.cohort import Case, Cohort, Role, cohort_of, read_cohort
from audit.errors import BadInput
from audit.phantoms import spoil
from audit.result import AuditResult
from audit.scoring import score
from audit.volume import Volume

REAL = Path(os.environ.get("VOXAUDIT_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
MANIFEST = REAL / "sunnybrook" / "cohort.csv"
ROLES: tuple[Role, ...] = ("train", "holdout", "synthetic")
METRICS = ("fidelity.temporal_smoothness", "fidelity.frechet_distance")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not MANIFEST.is_file(), reason="no Sunnybrook cines (see CONTRIBUTING)"),
]


def _cohorts(*, by_patient: bool) -> dict[str, Cohort]:
    """35 cines of one slice, 64 × 64 about the heart, in three random lots."""
    cases = []
    for patient in read_cohort(MANIFEST, role="train", labels={"lv": 3, "myocardium": 2}):
        for z in range(patient.image.shape[2]):
            image = Volume(
                array=np.ascontiguousarray(patient.image.array[:, :, z : z + 1, 32:96, 32:96]),
                spacing_mm=(8.0, 1.35, 1.35),  # in plane within 5 % of each patient's own
                frame_ms=40,
            )
            id_ = f"{patient.id}-{z}"
            subject = patient.subject if by_patient else id_
            cases.append(Case(id=id_, subject=subject, image=image))
    order = np.random.default_rng(0).permutation(len(cases))
    return {role: cohort_of(role, [cases[i] for i in order[k::3]]) for k, role in enumerate(ROLES)}


@pytest.fixture(scope="module")
def cines() -> dict[str, Cohort]:
    return _cohorts(by_patient=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


def _score(cohorts: dict[str, Cohort], cache: Cache, failure: str = "") -> AuditResult:
    made = cohorts["synthetic"]
    if failure:
        made = spoil(made, failure, 0.5, train=cohorts["train"])
    return score(
        **{**cohorts, "synthetic": made},
        only=METRICS,
        extractors=("intensity",),
        seed=0,
        cache=cache,
    )


def test_real_cines_against_real_cines_sit_at_the_floor(cines, cache: Cache):
    for finding in _score(cines, cache).findings:
        assert finding.value <= finding.reference["real_vs_real_high"], finding.metric


@pytest.mark.parametrize(
    ("failure", "metric"),
    [("jitter", "fidelity.temporal_smoothness"), ("noise", "fidelity.frechet_distance[intensity]")],
)
def test_spoiled_cines_lie_above_the_floor(cines, cache: Cache, failure: str, metric: str):
    findings = [f for f in _score(cines, cache, failure).findings if f.metric.startswith(metric)]
    assert findings
    for finding in findings:
        assert finding.value > finding.reference["real_vs_real_high"], finding.metric


def test_slices_that_say_whose_they_are_cannot_be_split(cache: Cache):
    with pytest.raises(BadInput, match="'train' and 'holdout' share 3 subjects; expected none"):
        _score(_cohorts(by_patient=True), cache)
