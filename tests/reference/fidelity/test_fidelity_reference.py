"""Agreement with published implementations on the same features (versions in reference.json).

Where a peer is wrong, the test says why: their values are not reproduced there.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from audit.statistics.frechet import frechet
from audit.statistics.manifold import manifold
from audit.statistics.mmd import mmd2, mmd2_of_subsets
from audit.statistics.vendi import vendi_score

RECORD = json.loads(Path(__file__).with_name("reference.json").read_text())
SHAPES = {"more rows than features": (300, 16), "fewer rows than features": (40, 96)}
every_case = pytest.mark.parametrize("case", sorted(SHAPES))


def features(case: str) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """The rows that make_reference.py drew, and what it recorded."""
    n, d = SHAPES[case]
    rng = np.random.default_rng(20260101)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    real = rng.normal(size=(n, d)) @ mixing
    synthetic = 1.2 * rng.normal(size=(n, d)) @ mixing + 0.15
    return real, synthetic, RECORD["cases"][case]


@every_case
@pytest.mark.parametrize("peer", ["torch_fidelity", "clean_fid", "monai"])
def test_frechet_distance(case: str, peer: str) -> None:
    """With fewer rows than features the peers' roots of S1 S2 err in the eighth digit."""
    real, synthetic, expected = features(case)
    rel = 1e-9 if case.startswith("more") else 1e-7
    assert frechet(real=real, synthetic=synthetic).value == pytest.approx(
        expected[f"frechet.{peer}"], rel=rel
    )


@every_case
def test_kernel_distance_over_all_pairs(case: str) -> None:
    real, synthetic, expected = features(case)
    assert mmd2(real=real, synthetic=synthetic) == pytest.approx(
        expected["kernel.torch_fidelity.whole"], rel=1e-9
    )


@every_case
def test_kernel_distance_over_the_published_subsets(case: str) -> None:
    """Same subsets from one Gram matrix. Their std is no confidence interval: see field notes."""
    real, synthetic, expected = features(case)
    rng = np.random.RandomState(2020)  # the peer's generator, to draw its subsets
    subsets = [
        tuple(rng.choice(len(side), 30, replace=False) for side in (real, synthetic))
        for _ in range(10)
    ]
    values = mmd2_of_subsets(real=real, synthetic=synthetic, subsets=subsets)
    assert values.mean() == pytest.approx(expected["kernel.torch_fidelity.mean"], rel=1e-4)
    assert values.std() == pytest.approx(expected["kernel.torch_fidelity.std"], rel=1e-4)


@every_case
@pytest.mark.parametrize("rate", ["precision", "recall", "density", "coverage"])
def test_manifold(case: str, rate: str) -> None:
    real, synthetic, expected = features(case)
    found = getattr(manifold(real=real, synthetic=synthetic), rate)
    assert found == pytest.approx(expected[f"manifold.prdc.{rate}"], abs=1e-12)


@every_case
@pytest.mark.parametrize(("order", "name"), [(1.0, "q1"), (2.0, "q2"), (np.inf, "qinf")])
def test_vendi(case: str, order: float, name: str) -> None:
    """vendi_score.score_dual; its score_X ignores q and returns the q = 1 value for any."""
    _, synthetic, expected = features(case)
    assert vendi_score(synthetic, order=order) == pytest.approx(
        expected[f"vendi.vendi_score.{name}"], rel=1e-6
    )


def test_monais_mmd_has_a_linear_kernel_and_is_not_followed() -> None:
    """It calls a generator with three times the spread closer than an honest one."""
    import torch
    from monai.metrics import MMDMetric

    rng = np.random.default_rng(0)
    real, honest = rng.normal(size=(100, 8)), rng.normal(size=(100, 8))
    spread = 3 * rng.normal(size=(100, 8))
    spread += real.mean(axis=0) - spread.mean(axis=0)
    peer = [float(MMDMetric()(torch.tensor(real), torch.tensor(s))) for s in (spread, honest)]
    ours = [mmd2(real=real, synthetic=s) for s in (spread, honest)]
    assert peer[0] < peer[1]
    assert ours[0] > 50 * abs(ours[1])


def test_monais_own_test_vector() -> None:
    real = np.array([[1.0, 2.0]] * 3)
    synthetic = np.array([[2.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    assert frechet(real=real, synthetic=synthetic).value == pytest.approx(0.4444, abs=1e-4)
