"""An audit of real volumes against themselves: at the floor; and against spoiled ones: above it.

Patches of one scan are one patient. Here they are split on purpose, to get two samples of one real
distribution out of the single scan at hand; nothing is claimed about a population.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import audit
from audit.cache import Cache
from audit.cohort import Case, cohort_of
from audit.phantoms import spoil
from audit.volume import Volume, read_volume

REAL = Path(os.environ.get("VOXAUDIT_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
SCAN = REAL / "ct" / "lidc_0314_2mm.nii.gz"
METRICS = ("fidelity.frechet_distance", "fidelity.kernel_distance", "fidelity.gaussian_kernel*")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SCAN.is_file(), reason=f"no real CT at {SCAN.name} (see CONTRIBUTING)"),
]


@pytest.fixture(scope="module")
def patches():
    """Three disjoint sets of 24 cubes of 32³ with lung in them, interleaved over one scan."""
    scan = read_volume(SCAN)
    array = scan.array[0, 0]
    found = []
    for z in range(0, array.shape[0] - 31, 20):
        for y in range(0, array.shape[1] - 31, 20):
            for x in range(0, array.shape[2] - 31, 20):
                cube = array[z : z + 32, y : y + 32, x : x + 32]
                if np.mean(cube < -500) > 0.3 and np.mean(cube < -990) < 0.5:
                    found.append(cube)
    order = np.random.default_rng(0).permutation(len(found))
    assert len(found) >= 72

    def cohort(role, picks):
        return cohort_of(
            role,
            [
                Case(
                    id=f"{role}-{i}",
                    subject=f"patch-{i}",
                    image=Volume(array=found[i][None, None].copy(), spacing_mm=scan.spacing_mm),
                )
                for i in picks
            ],
        )

    roles = ("train", "holdout", "synthetic")
    return {role: cohort(role, order[k:72:3]) for k, role in enumerate(roles)}


def score(patches, tmp_path, **changes):
    return audit.score(
        **{**patches, **changes},
        only=METRICS,
        extractors=("intensity",),
        cache=Cache(tmp_path / "cache"),
    )


def test_real_against_real_sits_at_the_floor(patches, tmp_path):
    for finding in score(patches, tmp_path).findings:
        assert finding.p_value > 0.05, finding.metric
        print(finding.metric, finding.value, finding.low, finding.high, finding.reference)


@pytest.mark.parametrize("failure", ["noise", "blur", "intensity_shift", "collapse"])
def test_a_spoiled_version_of_real_volumes_stands_above_it(patches, tmp_path, failure):
    honest = score(patches, tmp_path)
    bad = spoil(patches["synthetic"], failure, 0.5, seed=1)
    spoiled = score(patches, tmp_path, synthetic=bad)
    for finding in spoiled.findings:
        print(failure, finding.metric, finding.value, finding.p_value)
        assert finding.value > honest[finding.metric].value, finding.metric
    assert min(f.p_value for f in spoiled.findings) < 0.05
