"""Adjusted p-values over the findings of one result."""

import numpy as np
import pytest

from audit.multiplicity import with_adjusted_p_values
from audit.result import Finding


def finding(name: str, p: float | None, **params: float) -> Finding:
    return Finding(metric=name, value=1.0, p_value=p, params=params)


def test_adjusted_values_are_the_textbook_ones_and_order_and_own_p_values_stay() -> None:
    given = [finding("a", 0.01), finding("b", None), finding("c", 0.04), finding("d", 0.03),
             finding("e", 0.005)]  # fmt: skip
    found = with_adjusted_p_values(given)
    assert [f.metric for f in found] == list("abcde")
    assert [f.p_value for f in found] == [0.01, None, 0.04, 0.03, 0.005]
    tested = [f.params for f in found if f.p_value is not None]
    assert [p["p_value_adjusted"] for p in tested] == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert [p["p_value_holm"] for p in tested] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert {p["p_family"] for p in tested} == {"4 tests of this result"}
    assert "p_value_adjusted" not in found[1].params


def test_a_metric_that_adjusted_its_variants_is_not_adjusted_twice() -> None:
    found = with_adjusted_p_values([finding("a", 0.06, p_unadjusted=0.02), finding("b", 0.5)])
    assert found[0].params["p_value_holm"] == pytest.approx(0.04)


def test_adjusting_again_changes_nothing_and_one_test_stands_alone() -> None:
    once = with_adjusted_p_values([finding("a", 0.01), finding("b", 0.2)])
    assert with_adjusted_p_values(once) == once
    alone = [finding("a", 0.01), finding("b", None)]
    assert with_adjusted_p_values(alone) == tuple(alone)


def test_honest_results_hold_few_false_findings() -> None:
    """Sixty correlated tests, ten of a real difference: both rates are kept, plain p's is not."""
    rng = np.random.default_rng(0)
    false_share, any_false, any_plain = [], [], []
    for _ in range(300):
        common = rng.normal()
        z = np.sqrt(0.7) * rng.normal(size=60) + np.sqrt(0.3) * common
        z[:10] += 4
        p = _upper_tail(z)
        found = with_adjusted_p_values([finding(f"m{k}", float(v)) for k, v in enumerate(p)])
        called = np.array([f.params["p_value_adjusted"] <= 0.05 for f in found])
        false_share.append(called[10:].sum() / max(called.sum(), 1))
        any_false.append(any(f.params["p_value_holm"] <= 0.05 for f in found[10:]))
        any_plain.append((p[10:] <= 0.05).any())
    assert np.mean(any_plain) > 0.5
    assert np.mean(false_share) <= 0.06
    assert np.mean(any_false) <= 0.07


def _upper_tail(z: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return np.maximum(norm.sf(z), 1e-300)
