"""The first thing a reader sees: which number speaks for a question, and what it says."""

import pytest

from audit.result import AuditResult, Finding
from reports.headline import conclusion, leading
from reports.sections import tiles

FINE, DIFFERS = "not distinguishable at this n", "differs from real"


def by_network(extractor, p, *, verdict=FINE, adjusted=None, **more):
    params = {"extractor": extractor, "verdict": verdict}
    if adjusted is not None:
        params |= {"p_value_adjusted": adjusted, "p_family": "69 tests of this result"}
    fields = {"value": 1.0, "low": 0.5, "high": 1.5, "n": 24, "better": "lower"} | more
    return Finding(metric=f"fidelity.kernel_distance[{extractor}]", p_value=p, params=params,
                   **fields)  # fmt: skip


def test_a_network_that_sees_a_difference_speaks_for_one_that_is_blind_to_it():
    blind = by_network("ssl3d", 0.4)
    sees = by_network("intensity", 0.001, verdict=DIFFERS)
    for findings in ((blind, sees), (sees, blind)):
        result = AuditResult(findings=findings)
        assert leading("fidelity", result) is sees
        sentence = conclusion(result)[0]
        assert "Kernel distance, intensity" in sentence
        assert sentence.endswith(f"{DIFFERS}. By ssl3d: {FINE}.")
        assert tiles(result)[0]["verdict"] == DIFFERS


def test_where_permutations_tell_no_more_the_further_one_speaks():
    floor = {"real_vs_real": 0.0, "real_vs_real_high": 1.0}
    near = by_network("ssl3d", 0.001, verdict=DIFFERS, reference=floor, value=1.2)
    far = by_network("intensity", 0.001, verdict=DIFFERS, reference=floor, value=60.0, high=70.0)
    assert leading("fidelity", AuditResult(findings=(near, far))) is far


def test_the_smallest_of_several_p_values_comes_with_its_adjusted_one():
    lost = by_network("ssl3d", 0.046, verdict=DIFFERS, adjusted=0.068)
    kept = by_network("ssl3d", 0.001, verdict=DIFFERS, adjusted=0.005)
    said = conclusion(AuditResult(findings=(lost,)))[0]
    assert "p = 0.046, adjusted 0.068, no longer small" in said
    assert "p = 0.001, adjusted 0.005): " in conclusion(AuditResult(findings=(kept,)))[0]


def test_a_network_without_a_number_is_not_quoted():
    gone = Finding(metric="fidelity.kernel_distance[dino]", status="not_computable", reason="no.",
                   params={"extractor": "dino", "verdict": FINE})  # fmt: skip
    sentence = conclusion(AuditResult(findings=(by_network("ssl3d", 0.4), gone)))[0]
    assert "dino" not in sentence


def test_parts_of_one_cohort_do_not_outvote_the_whole():
    def dice(variant, p):
        return Finding(metric=f"adherence.dice[{variant}]", value=0.9, low=0.8, high=0.95, n=24,
                       better="higher", p_value=p)  # fmt: skip

    whole, part = dice("all", 0.5), dice("rv", 0.01)
    assert leading("adherence", AuditResult(findings=(part, whole))) is whole


def heart(metric, p, **more):
    params = {"p_value_adjusted": p, "p_family": "69 tests of this result"}
    fields = {"value": 2.0, "low": 1.0, "high": 3.0, "n": 24, "better": "lower"} | more
    return Finding(metric=f"cardiac.{metric}", p_value=p, params=params, **fields)


def test_a_number_that_is_fine_does_not_speak_for_a_section_that_is_not():
    """Blobs may have the right ejection fraction: the first page says that the rest is off."""
    floor = {"real_vs_real": 5.0, "real_vs_real_high": 6.0}
    fine = heart("ejection_fraction[lv]", 0.7, reference=floor)
    thick, mass = (
        heart("wall_thickness[mean]", 0.4),
        heart("myocardial_mass[lv]", 0.01, unit="g", reference={"real_vs_real": 0.5}),
    )
    result = AuditResult(findings=(fine, thick, mass))
    sentence = conclusion(result)[0]
    assert "no worse than that" in sentence
    assert "But 1 of 2 others tested differs from real, namely" in sentence
    assert sentence.endswith("(2 g [1, 3], real against real 0.5).")
    assert tiles(result)[0]["verdict"] == "but 1 of 2 others tested differs from real"
    quiet = conclusion(AuditResult(findings=(fine, thick)))[0]
    assert "But" not in quiet


def test_a_distance_of_distributions_is_not_read_as_the_quantity_itself():
    bias = {"segmenter_bias": -20.0, "segmenter_bias_low": -35.0, "segmenter_bias_high": -5.0}
    found = heart("ejection_fraction[lv]", 0.7, reference={"real_vs_real": 5.0, **bias})
    assert "is 2 [1, 3]" in conclusion(AuditResult(findings=(found,)))[0]
    found.params["statistic"] = "Wasserstein-1"
    sentence = conclusion(AuditResult(findings=(found,)))[0]
    assert "differs by 2 [1, 3]" in sentence
    assert tiles(AuditResult(findings=(found,)))[0]["what"].endswith("LV, difference")
    assert (
        "The segmenter itself is off by −20 on real cases (limits of agreement −35 to −5)."
        in sentence
    )


def test_a_number_that_alarms_needs_no_second():
    floor = {"real_vs_real": 0.1, "real_vs_real_high": 0.2}
    by_p = heart("ejection_fraction[lv]", 0.01)
    by_interval = heart("ejection_fraction[lv]", 0.7, reference=floor)
    for leads in (by_p, by_interval):
        found = AuditResult(findings=(leads, heart("myocardial_mass[lv]", 0.01)))
        assert "But" not in conclusion(found)[0]


def test_a_large_p_value_is_not_adjusted_aloud():
    large = by_network("ssl3d", 0.4, adjusted=0.9)
    assert "adjusted" not in conclusion(AuditResult(findings=(large,)))[0]


def test_copies_come_with_what_to_do_about_them():
    def rate(value):
        return Finding(metric="memorization.copy_rate", value=value, low=0.0, high=1.0, n=24,
                       better="lower")  # fmt: skip

    assert "voxaudit filter" in conclusion(AuditResult(findings=(rate(0.5),)))[0]
    assert "voxaudit filter" not in conclusion(AuditResult(findings=(rate(0.0),)))[0]


@pytest.mark.parametrize(
    ("meter", "said"), [("modelled", "modelled, not measured"), ("counter", "measured by counters")]
)
def test_emissions_say_whether_they_were_measured(meter, said):
    grams = Finding(metric="footprint.emissions", value=0.4, low=0.1, high=1.2, n=1, unit="g",
                    better="lower", params={"meter": meter})  # fmt: skip
    result = AuditResult(findings=(grams,))
    assert conclusion(result)[0].endswith(f": {said}.")
    assert tiles(result)[0]["verdict"] == said
