"""Interval of an area under the curve: open at its ends, and of the right size."""

import numpy as np
import pytest

from audit.statistics.auc import auc_interval


def test_a_perfect_separation_of_few_is_not_certain():
    low, high = auc_interval(1.0, 8, 32)
    assert 0.8 < low < 0.9
    assert high == 1.0
    assert auc_interval(0.0, 8, 32) == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_more_patients_make_it_narrower():
    widths = [np.diff(auc_interval(0.9, n, n)) for n in (10, 40, 160)]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("law", ["normal", "exponential", "heavy"])
@pytest.mark.parametrize("shift", [0.0, 1.5])
@pytest.mark.parametrize("sizes", [(8, 32), (24, 24)])
def test_it_covers_what_it_says(law: str, shift: float, sizes: tuple[int, int]):
    rng = np.random.default_rng(3)

    def draw(n: int) -> np.ndarray:
        if law == "heavy":
            return rng.standard_t(3, n)
        return getattr(rng, law)(size=n)

    truth = (draw(200_000) + shift > draw(200_000)).mean()
    covered = []
    for _ in range(400):
        a, b = draw(sizes[0]) + shift, draw(sizes[1])
        low, high = auc_interval(float((a[:, None] > b).mean()), *sizes)
        covered.append(low <= truth <= high)
    assert 0.92 <= np.mean(covered) <= 0.998  # wide for skewed scores
