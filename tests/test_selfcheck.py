"""The matrix of metrics and planted failures: its rules, and a small run of it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.cache import Cache
from audit.comparison import Comparison
from audit.errors import BadInput
from audit.metric import METRICS
from audit.phantoms import thorax_cohort
from audit.result import Finding
from audit.scoring import measure
from audit.selfcheck import Row, controlled, document, missed, selfcheck, table
from audit.selfcheck.populations import middles
from audit.selfcheck.rows import has_too_few, is_declared, is_seen
from reports.selfcheck import parse_matrix


def row(
    seen: tuple[bool, ...],
    *,
    declared: bool = True,
    metric: str = "m[a]",
    p_values: tuple[float | None, ...] = (None, None, None),
) -> Row:
    return Row(
        population="thorax",
        metric=metric,
        failure="noise",
        declared=declared,
        honest=0.0,
        honest_alarm=False,
        strengths=(0.25, 0.5, 1.0),
        values=(1.0, 2.0, 3.0),
        seen=seen,
        monotone=True,
        p_values=p_values,
    )


def test_smallest_strength_is_the_one_from_which_all_are_seen() -> None:
    assert row((True, True, True)).smallest_seen == 0.25
    assert row((True, False, True)).smallest_seen == 1.0
    assert row((True, True, False)).smallest_seen is None


def test_seen_needs_worse_and_a_small_p_value() -> None:
    honest = Finding(metric="m", value=1.0, low=0.5, high=1.5, p_value=0.4)
    assert is_seen(Finding(metric="m", value=2.0, p_value=0.01), honest, float)
    assert not is_seen(Finding(metric="m", value=2.0, p_value=0.2), honest, float)
    assert not is_seen(Finding(metric="m", value=0.5, p_value=0.01), honest, float)
    assert not is_seen(Finding(metric="m", status="not_computable", reason="none"), honest, float)


def test_without_a_test_the_honest_interval_must_be_left() -> None:
    honest = Finding(metric="m", value=1.0, low=0.5, high=1.5)
    assert is_seen(Finding(metric="m", value=1.6), honest, float)
    assert not is_seen(Finding(metric="m", value=1.4), honest, float)


def test_an_alarm_on_the_honest_cohort_asks_for_more_than_a_small_p_value() -> None:
    """A metric that calls everything different has seen no failure."""
    alarmed = Finding(metric="m", value=1.0, low=0.5, high=1.5, p_value=0.02)
    assert not is_seen(Finding(metric="m", value=1.4, p_value=0.01), alarmed, float)
    assert is_seen(Finding(metric="m", value=1.6, p_value=0.01), alarmed, float)


def test_a_failure_is_not_declared_with_an_extractor_that_is_blind_to_it() -> None:
    kernel = METRICS.load("fidelity.kernel_distance")
    assert is_declared(kernel, "intensity", "noise")
    assert not is_declared(kernel, "ssl3d", "noise")
    assert not is_declared(kernel, "ssl3d/FIBROSIS", "noise")
    assert is_declared(kernel, "ssl3d", "collapse")
    assert not is_declared(kernel, "motion", "intensity_shift")
    assert not is_declared(kernel, "intensity", "jitter")
    assert is_declared(METRICS.load("fidelity.slice_consistency"), "pearson", "noise")


def test_too_few_subjects_are_told_from_a_metric_that_does_not_see() -> None:
    weak = Finding(metric="m", value=1.0, p_value=0.3, reference={"smallest_shift_sd": None})
    able = Finding(metric="m", value=1.0, p_value=0.3, reference={"smallest_shift_sd": 0.5})
    assert has_too_few(weak)
    assert not has_too_few(able)
    assert not has_too_few(Finding(metric="m", value=1.0, p_value=0.3))  # states no power
    blind = row((False,) * 3)
    assert "**n?**" in table([replace(blind, too_few=True)], "thorax")
    assert "**–**" in table([blind], "thorax")
    assert "- thorax, m[a], noise" in document([blind], subjects=8)
    assert "- thorax" not in document([replace(blind, too_few=True)], subjects=8)


def test_the_page_names_extractors_that_were_not_at_hand() -> None:
    text = document([row((True,) * 3)], subjects=8, extractors=("a", "b"))
    assert "not at hand where this was made: b." in text


def test_a_declared_failure_that_no_variant_sees_is_missed() -> None:
    blind, seeing = row((False,) * 3), row((True,) * 3, metric="m[b]")
    assert missed([blind]) == [("m", "noise")]
    assert missed([blind, seeing]) == []
    assert missed([row((False,) * 3, declared=False)]) == []


def test_document_marks_what_is_declared_and_says_what_is_missed() -> None:
    text = document([row((False, True, True))], subjects=8)
    assert "| m[a] | **0.5** | silent |" in text
    assert "Declared but never seen: none." in text
    assert "–" in table([row((False,) * 3)], "thorax")


def test_structures_of_a_metric_share_a_line_of_the_smallest_strength() -> None:
    late = row((False, False, True), metric="adherence.dice[heart]")
    early = row((False, True, True), metric="adherence.dice[lung_left]")
    text = table([late, early], "thorax")
    assert "| adherence.dice | **0.5** | silent |" in text
    assert text.count("adherence.dice") == 1


def test_what_is_seen_is_held_to_a_false_discovery_rate_in_each_population() -> None:
    """A lone 0.04 among fifty silent tests is chance; among fifty loud ones it is not."""
    lucky = row((False, False, True), metric="m[lucky]", p_values=(0.5, 0.5, 0.04))
    silent = [row((False,) * 3, metric=f"m[{k}]", p_values=(0.6,) * 3) for k in range(20)]
    loud = [row((True,) * 3, metric=f"m[{k}]", p_values=(0.005,) * 3) for k in range(20)]
    assert controlled([lucky, *silent])[0].smallest_seen is None
    assert controlled([lucky, *loud])[0].smallest_seen == 1.0
    assert [r.smallest_seen for r in controlled([lucky, *loud])[1:]] == [0.25] * 20
    untested = row((True,) * 3)
    assert controlled([untested, *silent])[0] == untested


def test_the_matrix_that_ships_is_the_documented_one() -> None:
    """An installed copy has no docs/; `cp docs/selfcheck.md reports/data/` after each renewal."""
    root = Path(__file__).parents[1]
    shipped = (root / "reports" / "data" / "selfcheck.md").read_text(encoding="utf-8")
    assert shipped == (root / "docs" / "selfcheck.md").read_text(encoding="utf-8")


def test_the_matrix_holds_three_populations_all_extractors_and_every_question() -> None:
    text = (Path(__file__).parents[1] / "docs" / "selfcheck.md").read_text(encoding="utf-8")
    rows = parse_matrix(text)
    asked = {(r["population"], r["metric"]) for r in rows}
    for population, extra in (("thorax", ()), ("heart", ("motion",)), ("patches", ())):
        for extractor in ("intensity", "ssl3d", *extra):
            assert (population, f"fidelity.kernel_distance[{extractor}]") in asked
            assert (population, f"diversity.beta_recall[{extractor}]") in asked
        for features in ("ibsi", "radiomics"):
            assert (population, f"fidelity.frechet_{features}_distance") in asked
    for metric in ("adherence.dice", "anatomy.organ_volume", "cardiac.ejection_fraction"):
        assert ("heart", metric) in asked
    assert "Declared but never seen: none." in text


@pytest.mark.parametrize("population", ["thorax", "heart", "patches"])
def test_in_the_matrix_a_collapse_is_a_matter_of_recall_and_noise_of_precision(
    population: str,
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "selfcheck.md").read_text(encoding="utf-8")
    seen = {
        (r["metric"], r["failure"]): r["smallest_seen"]
        for r in parse_matrix(text)
        if r["population"] == population
    }
    for extractor in ("intensity", "ssl3d"):
        assert seen[f"diversity.recall[{extractor}]", "collapse"] is not None
        assert seen[f"fidelity.precision[{extractor}]", "collapse"] is None
    assert seen["fidelity.precision[intensity]", "noise"] == 0.25


def test_unknown_population_says_which_exist() -> None:
    with pytest.raises(BadInput, match=r"'knee'.*one of thorax, heart"):
        selfcheck(populations=("knee",))


def test_nothing_to_ask_says_what_could_be_asked() -> None:
    with pytest.raises(BadInput, match="nothing to ask 1 metrics of noise.*one of them declares"):
        selfcheck(only=("diversity.recall",), failures=("noise",), full=False)
    with pytest.raises(BadInput, match="in 0 populations.*a population"):
        selfcheck(populations=())


def test_middles_keep_80_mm_of_each_axis_and_what_is_smaller() -> None:
    cohort = thorax_cohort(2, role="holdout", seed=3)
    cut = middles(cohort)
    assert cut.ids == cohort.ids
    for whole, case in zip(cohort, cut, strict=True):
        kept = [round(80 / mm) for mm in whole.image.spacing_mm]
        first = [(size - k) // 2 for size, k in zip(whole.image.array.shape[2:], kept, strict=True)]
        box = tuple(slice(a, a + k) for a, k in zip(first, kept, strict=True))
        assert np.array_equal(case.image.array, whole.image.array[:, :, *box])
        assert case.image.spacing_mm == whole.image.spacing_mm
    assert middles(cut).hash == cut.hash


def test_a_metric_of_middles_is_asked_of_them_and_of_the_spoiled_ones(
    tmp_path: Path, monkeypatch
) -> None:
    """Stands for PyRadiomics, which takes minutes a phantom."""
    name = "fidelity.intensity_wasserstein_distance"
    seen: list[tuple[int, ...]] = []

    def shapes(asked: str, comparison: Comparison) -> tuple[list[Finding], None]:
        seen.extend(case.image.array.shape for case in comparison.synthetic)
        return measure(asked, comparison)

    monkeypatch.setattr("audit.selfcheck.OF_MIDDLES", (name,))
    monkeypatch.setattr("audit.selfcheck.measure", shapes)
    rows = selfcheck(
        only=(name,),
        populations=("thorax",),
        failures=("intensity_shift",),
        strengths=(1.0,),
        subjects=8,
        extractors=("intensity",),
        cache=Cache(tmp_path),
    )
    assert len(seen) == 16
    assert max(max(shape[2:]) for shape in seen) <= 10  # of 32 voxels of 10 mm and more
    assert [r.smallest_seen for r in rows] == [1.0]


def test_noise_and_shift_are_seen_and_a_second_run_measures_nothing(
    tmp_path: Path, monkeypatch
) -> None:
    def once_more() -> list[Row]:
        return selfcheck(
            only=("fidelity.kernel_distance", "adherence.dice"),
            populations=("thorax",),
            failures=("noise", "mask_shift", "weak_contraction"),
            strengths=(0.5, 1.0),
            subjects=8,
            extractors=("intensity",),
            cache=Cache(tmp_path),
        )

    rows = once_more()
    assert {r.failure for r in rows} == {"noise", "mask_shift"}  # a chest cannot contract weakly
    by_name = {(r.metric, r.failure): r for r in rows}
    kernel = by_name["fidelity.kernel_distance[intensity]", "noise"]
    assert kernel.smallest_seen == 0.5
    assert kernel.monotone
    assert not kernel.honest_alarm
    dice = [r for r in rows if r.metric.startswith("adherence.") and r.failure == "mask_shift"]
    assert dice
    assert all(r.declared and r.smallest_seen == 0.5 for r in dice)
    assert missed(rows) == []
    json.dumps([r.as_dict() for r in rows], allow_nan=False)

    def forbidden(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("audit.selfcheck.measure", forbidden)
    assert once_more() == rows
    # What was missing may have been installed since.
    monkeypatch.setattr("audit.selfcheck._packages", lambda: ["pyradiomics-cuda==1.0.4"])
    with pytest.raises(AssertionError, match="measured again"):
        once_more()


def test_precision_and_recall_are_not_swapped_and_declared_failures_rise(tmp_path: Path) -> None:
    """Collapse costs variety and no realism; noise costs realism. Each at two strengths."""
    rows = selfcheck(
        only=("fidelity.precision", "fidelity.kernel_distance", "diversity.recall"),
        populations=("thorax",),
        failures=("noise", "collapse"),
        strengths=(0.5, 1.0),
        subjects=24,  # three modes must hold more than k = 5 each
        seed=5,
        extractors=("intensity",),
        cache=Cache(tmp_path),
    )
    by_name = {(r.metric.split("[")[0], r.failure): r for r in rows}
    precision, recall = (by_name[m, "collapse"] for m in ("fidelity.precision", "diversity.recall"))
    assert precision.values[-1] >= precision.honest - 0.1
    assert recall.values[-1] <= recall.honest - 0.3
    assert recall.smallest_seen == 1.0
    assert precision.smallest_seen is None
    assert by_name["fidelity.precision", "noise"].smallest_seen == 0.5
    assert missed(rows) == []
    assert all(r.monotone for r in rows if r.declared)


def test_the_quick_run_asks_only_for_what_is_declared(tmp_path: Path) -> None:
    rows = selfcheck(
        only=("adherence.dice", "anatomy.organ_volume"),
        populations=("thorax",),
        failures=("mask_shift", "noise"),
        strengths=(1.0,),
        full=False,
        subjects=8,
        extractors=("intensity",),
        cache=Cache(tmp_path),
    )
    assert {r.metric.split("[")[0] for r in rows} == {"adherence.dice"}
    assert all(r.declared for r in rows)


@pytest.mark.real
def test_noise_on_real_texture_is_seen(tmp_path: Path) -> None:
    """Patches of one scan are one patient: this shows sensitivity, nothing about a population."""
    given = os.environ.get("VOXAUDIT_REAL_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    scan = folder / "ct" / "lidc_0314_2mm.nii.gz"
    if not scan.is_file():
        pytest.skip("no real lung CT: set VOXAUDIT_REAL_DATA to a folder with ct/")
    rows = selfcheck(
        only=("fidelity.gaussian_kernel_distance",),
        populations=(),
        patches_of=scan,
        failures=("noise",),
        strengths=(1.0,),
        extractors=("intensity",),
        cache=Cache(tmp_path),
    )
    assert [(r.population, r.smallest_seen) for r in rows] == [("patches", 1.0)]


@pytest.mark.slow
@pytest.mark.parametrize("population", ["thorax", "heart"])
def test_every_declared_failure_is_seen(population: str, tmp_path: Path) -> None:
    rows = selfcheck(
        populations=(population,),
        extractors=("intensity", "ssl3d"),
        full=False,
        cache=Cache(tmp_path),
    )
    assert missed(rows) == []
    assert [(r.metric, r.failure) for r in rows if r.declared and not r.monotone] == []
