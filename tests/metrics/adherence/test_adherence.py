"""Adherence metrics on phantoms: what is planted is found, and nothing is dropped."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from audit.cohort import Cohort, cohort_of
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.metric import METRICS
from audit.metrics.adherence import dice, hausdorff95, mask_excess, missing_rate, surface_dice
from audit.metrics.adherence.mask_excess import sign_flip_p_value
from audit.phantoms import spoil
from audit.scoring import measure

NAMES = [name for name in METRICS.names() if name.startswith("adherence.")]


def rng():
    return np.random.default_rng(0)


def small(comparison: Comparison, n: int = 10, synthetic: Cohort | None = None) -> Comparison:
    made = (synthetic or comparison.synthetic).subset(range(n))
    return replace(comparison, synthetic=made, _made={})


@pytest.fixture(scope="module")
def honest(thorax_comparison):
    return small(thorax_comparison)


@pytest.fixture(scope="module")
def one_in_ten_lacks_an_organ(thorax_comparison):
    ten = thorax_comparison.synthetic.subset(range(10))
    return small(thorax_comparison, 10, spoil(ten, "missing_organ", 0.1))


def test_every_metric_gives_numbers_or_reasons(one_in_ten_lacks_an_organ):
    for name in NAMES:
        findings, cases = measure(name, one_in_ten_lacks_an_organ)
        assert all(f.status == "ok" or f.reason for f in findings)
        assert any(f.variant.startswith("all") and f.value is not None for f in findings)
        if cases is not None:
            assert set(cases["role"]) == {"synthetic"}


def test_one_missing_organ_in_ten_lowers_the_pooled_score(honest, one_in_ten_lacks_an_organ):
    before = dice.compute(honest, rng())
    after = dice.compute(one_in_ten_lacks_an_organ, rng())
    assert before["all"].estimate.value == 1
    assert after["all"].estimate.value < 0.99
    assert after["lung_left"].estimate.value == 1  # a median does not move: that is why
    assert after["lung_left"].reference["mean"] == pytest.approx(0.9)


def test_one_missing_organ_in_ten_raises_the_pooled_distance(one_in_ten_lacks_an_organ):
    found = hausdorff95.compute(one_in_ten_lacks_an_organ, rng())
    assert found["all max_directed"].estimate.value > 5
    assert found["all max_directed"].params["definition"] == "max_directed"


def test_a_missing_organ_is_counted_by_name(one_in_ten_lacks_an_organ):
    found = missing_rate.compute(one_in_ten_lacks_an_organ, rng())
    assert found["lung_left"].estimate.value == pytest.approx(0.1)
    assert found["lung_left"].estimate.high > 0.3
    assert found["lung_right"].estimate.value == 0


def test_worst_cases_are_listed(one_in_ten_lacks_an_organ):
    found = dice.compute(one_in_ten_lacks_an_organ, rng())["lung_left"]
    assert found.params["worst_values"][0] == 0
    assert found.params["worst_cases"][0] in one_in_ten_lacks_an_organ.synthetic.ids


def test_excess_of_an_obedient_generator_reaches_its_ceiling(honest):
    found = mask_excess.compute(honest, rng())["all"]
    assert found.estimate.value == pytest.approx(found.reference["ceiling"], abs=0.02)
    assert found.params["obeys_p_value"] < 0.01


def test_a_generator_that_ignores_its_mask_has_no_excess(thorax_comparison):
    """Images of other patients of the population: Dice stays high, excess goes."""
    asked = cohort_of(
        "conditions",
        [replace(case, id=f"m{i}") for i, case in enumerate(thorax_comparison.holdout)],
    ).subset(range(16))
    ignoring = cohort_of(
        "synthetic",
        [
            replace(case, condition=f"m{i}")
            for i, case in enumerate(thorax_comparison.synthetic.subset(range(16)))
        ],
    )
    comparison = replace(thorax_comparison, synthetic=ignoring, conditions=asked, _made={})
    assert dice.compute(comparison, rng())["body"].estimate.value > 0.7
    found = mask_excess.compute(comparison, rng())["all"]
    assert found.estimate.low <= 0 <= found.estimate.high
    assert found.params["obeys_p_value"] > 0.05


def test_the_sign_flip_test_holds_its_size():
    stream = np.random.default_rng(1)
    p = [sign_flip_p_value(stream.normal(size=15), stream, 199) for _ in range(2000)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.02)


def test_distances_need_a_spacing_and_overlap_does_not(honest):
    def without(cohort):
        def read(source):
            case = source.read()
            labels = replace(case.labels, spacing_known=False)
            return replace(case, labels=labels)

        sources = [replace(s, read=lambda s=s: read(s)) for s in cohort.sources]
        return Cohort(cohort.role, sources)

    unknown = replace(
        honest,
        synthetic=without(honest.synthetic),
        conditions=without(honest.conditions),
        _made={},
    )
    assert dice.compute(unknown, rng())["all"].estimate.value == 1
    for metric in (hausdorff95, surface_dice):
        with pytest.raises(NotComputable, match="spacing is unknown"):
            metric.compute(unknown, rng())


def test_given_maps_that_equal_the_masks_raise_a_caution(honest):
    assert "were the images segmented" in dice.compute(honest, rng())["all"].params["caution"]


def test_a_segmenter_that_is_too_poor_judges_nothing(honest, monkeypatch):
    given = honest.labels()

    def require(structure):
        if structure == "aorta":
            raise NotComputable("the segmenter's median Dice for 'aorta' is 0.4", "0.7 or more")

    poor = SimpleNamespace(
        maps=given.maps, source="built-in", params={}, error=None, segmented={}, require=require
    )
    comparison = replace(honest, _made={"labels": poor})
    found = dice.compute(comparison, rng())
    assert isinstance(found["aorta"], NotComputable)
    assert "median Dice for 'aorta' is 0.4" in found["aorta"].reason
    assert found["heart"].estimate.value == 1


def test_the_ceiling_is_the_segmenter_on_real_images(honest):
    """A segmenter that loses every left lung of real hold-out images is seen in the ceiling."""
    given = honest.labels()
    lost = []
    for labels in given.maps["holdout"]:
        array = labels.array.copy()
        array[array == labels.names["lung_left"]] = 0
        lost.append(replace(labels, array=array))
    network = SimpleNamespace(
        maps=given.maps,
        source="built-in",
        params={},
        error=None,
        segmented={"holdout": lost},
        require=lambda structure: None,
    )
    found = dice.compute(replace(honest, _made={"labels": network}), rng())
    assert found["lung_left"].reference["ceiling"] == 0
    assert found["heart"].reference["ceiling"] == 1
    assert found["heart"].params["ratio_to_ceiling"] == 1


def test_the_order_of_cases_changes_nothing(honest):
    turned = replace(honest, synthetic=honest.synthetic.subset(range(9, -1, -1)), _made={})
    for metric in (dice, mask_excess):
        before, after = metric.compute(honest, rng()), metric.compute(turned, rng())
        assert before["all"].estimate.value == pytest.approx(after["all"].estimate.value)
        assert before["all"].reference["null"] == pytest.approx(after["all"].reference["null"])
