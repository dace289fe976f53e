"""Planted failures of mask, organ and heart, on phantoms of sizes and seeds not tuned on.

Each is found and the honest cohort raises no alarm; sizes and powers of the tests by simulation.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from audit.against_real import Rows, permutations_for
from audit.cohort import Case, Cohort, cohort_of
from audit.comparison import Comparison
from audit.metric import Measurement
from audit.metrics.adherence import centroid_distance, dice, mask_excess, missing_rate
from audit.metrics.anatomy import detection_rate
from audit.metrics.anatomy.detection_rate import compare_rates
from audit.metrics.cardiac import ejection_fraction, wall_thickening
from audit.phantoms import heart_cohort, spoil, thorax_cohort, with_conditions
from audit.preprocessing import fit_preprocessing
from audit.volume import LabelMap, Volume

COUNT = 10
Draw = Callable[..., Cohort]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def unseen(draw: Draw, seed: int, workshop, **shape: int) -> Comparison:
    train, holdout, made = (
        draw(COUNT, role=role, seed=seed + k, **shape)
        for k, role in enumerate(("train", "holdout", "synthetic"))
    )
    conditions, synthetic = with_conditions(made)
    return Comparison(
        train=train,
        holdout=holdout,
        synthetic=cohort_of("synthetic", list(synthetic)),
        conditions=conditions,
        preprocessing=fit_preprocessing(train),
        workshop=workshop,
    )


def spoiled(honest: Comparison, failure: str, strength: float, seed: int) -> Comparison:
    broken = spoil(honest.synthetic, failure, strength, seed=seed)
    return replace(honest, synthetic=cohort_of("synthetic", list(broken)), _made={})


@pytest.fixture(scope="module")
def thorax(workshop) -> Comparison:
    return unseen(thorax_cohort, 700, workshop, size=40)


@pytest.fixture(scope="module")
def hearts(workshop) -> Comparison:
    return unseen(heart_cohort, 800, workshop, size=40, frames=6)


def test_a_shifted_mask_is_found_by_its_length(thorax):
    honest, moved = thorax, spoiled(thorax, "mask_shift", 0.2, seed=71)
    step_mm = 0.2 * 40 / 4 * thorax.holdout[0].image.spacing_mm[2]
    found = centroid_distance.compute(moved, rng())["heart"]
    assert found.estimate.value == pytest.approx(step_mm, rel=0.05)
    assert centroid_distance.compute(honest, rng())["heart"].estimate.value == 0
    before, after = (dice.compute(c, rng())["all"].estimate for c in (honest, moved))
    assert after.high < before.low == 1
    excess = [mask_excess.compute(c, rng())["all"] for c in (honest, moved)]
    assert excess[1].estimate.high < excess[0].estimate.low
    assert (
        excess[0].estimate.low <= excess[0].reference["ceiling"] <= excess[0].estimate.high + 0.02
    )


def test_missing_organs_are_found_and_an_honest_cohort_lacks_none(thorax):
    lacking = spoiled(thorax, "missing_organ", 0.5, seed=72)
    assert missing_rate.compute(lacking, rng())["lung_left"].estimate.value == pytest.approx(0.5)
    assert missing_rate.compute(thorax, rng())["all"].estimate.value == 0
    found, honest = (detection_rate.compute(c, rng()) for c in (lacking, thorax))
    assert found["lung_left"].estimate.value == pytest.approx(0.5)
    assert found["lung_left"].p_value < 0.05
    told = [f for f in honest.values() if isinstance(f, Measurement)]
    assert all(f.p_value is None or f.p_value > 0.05 for f in told)


def test_a_weak_contraction_is_found_and_an_honest_cohort_is_not(hearts):
    weak = spoiled(hearts, "weak_contraction", 0.9, seed=81)
    found, honest = (ejection_fraction.compute(c, rng()) for c in (weak, hearts))
    assert found["lv"].p_value < 0.05
    assert found["lv"].reference["mean_shift_high"] < 0
    assert all(f.p_value > 0.05 for f in honest.values())


def presence(rng: np.random.Generator, share: float, n: int = 50) -> list[bool]:
    return (rng.random(n) < share).tolist()


@pytest.mark.parametrize(
    ("real", "synthetic", "low", "high"), [(0.8, 0.8, 0.0, 0.07), (1.0, 0.8, 0.8, 1.0)]
)
def test_the_detection_rate_holds_its_size_and_sees_a_fifth_missing(real, synthetic, low, high):
    stream = np.random.default_rng(73)
    rows = Rows(ids=(), subjects=[str(i) for i in range(50)], values=())
    p = [
        compare_rates(presence(stream, synthetic), presence(stream, real), rows, stream).p_value
        for _ in range(200)
    ]
    assert low <= np.mean(np.array(p) <= 0.05) <= high


def disc(stream: np.random.Generator) -> LabelMap:
    y, x = np.mgrid[:24, :24]
    cy, cx = 12 + stream.normal(0, 2, 2)
    inside = np.hypot(y - cy, x - cx) <= 6 + stream.gamma(2, 0.7)
    return LabelMap(
        array=inside[None, None].astype(np.int16), names={"organ": 1}, spacing_mm=(5.0, 1.5, 1.5)
    )


def disc_case(name: str, labels: LabelMap, condition: str | None = None) -> Case:
    image = Volume(array=labels.array[None].astype(np.float32), spacing_mm=labels.spacing_mm)
    return Case(id=name, subject=name, image=image, labels=labels, condition=condition)


def obeys_p_value(stream: np.random.Generator, obedient: float, workshop, n: int = 16) -> float:
    """Of a generator that follows this share of its masks and else draws another patient's."""
    asked = [disc(stream) for _ in range(n)]
    made = [a if stream.random() < obedient else disc(stream) for a in asked]
    train = cohort_of("train", [disc_case("t", disc(stream))])
    comparison = Comparison(
        train=train,
        holdout=cohort_of("holdout", []),
        synthetic=cohort_of(
            "synthetic", [disc_case(f"s{i}", m, f"m{i}") for i, m in enumerate(made)]
        ),
        conditions=cohort_of("conditions", [disc_case(f"m{i}", m) for i, m in enumerate(asked)]),
        preprocessing=fit_preprocessing(train),
        workshop=workshop,
    )
    found = mask_excess.compute(comparison, stream)["organ"]
    return float(found.params["obeys_p_value"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("obedient", "n", "low", "high"), [(0.0, 300, 0.0, 0.07), (0.5, 40, 0.8, 1.0)]
)
def test_the_shuffled_control_holds_its_size_and_sees_half_obedience(
    obedient, n, low, high, workshop
):
    """Conservative: cases share the others' masks."""
    stream = np.random.default_rng(75)
    p = np.array([obeys_p_value(stream, obedient, workshop) for _ in range(n)])
    assert low <= np.mean(p <= 0.05) <= high


def test_a_wall_that_thickens_less_is_found_far_below_what_999_draws_could_say(hearts):
    """17 quantities are adjusted together: 17 / 1000 was the least p before."""
    weak = wall_thickening.compute(spoiled(hearts, "weak_contraction", 1.0, seed=73), rng())
    assert weak["mean"].p_value < 0.005
    assert weak["mean"].estimate.value > weak["mean"].reference["real_vs_real_high"]
    assert wall_thickening.compute(hearts, rng())["mean"].p_value > 0.05


def test_draws_grow_with_the_tests_that_are_adjusted_together_and_stay_in_memory():
    assert permutations_for(1, 32) == 999
    assert 17 / (permutations_for(17, 32) + 1) == pytest.approx(0.001)
    assert permutations_for(17, 2000) == 2**22 // 2000
    assert permutations_for(17, 10**6) == 999
