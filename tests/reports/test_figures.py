"""Figures: closed forms of what is drawn, and grace where data is missing."""

import re

import numpy as np
import pandas as pd
import pytest

from audit.result import AuditResult, CohortSummary, Finding, Verdict
from reports import bars, words
from reports.drawings.forest import excess, forest_picture
from reports.figure import canvas, to_svg
from reports.figures.adherence import _agreement, bland_altman
from reports.headline import conclusion, leading
from reports.material import Material
from reports.sections import missing
from reports.selfcheck import matrix_picture, parse_matrix, shipped_matrix


def finding(metric="fidelity.kernel_distance[a]", value=2.0, low=1.0, high=3.0, **more):
    fields = {"better": "lower", "n": 20}
    reference = {"real_vs_real": 1.0, "real_vs_real_low": 0.5, "real_vs_real_high": 2.0}
    return Finding(metric=metric, value=value, low=low, high=high,
                   **{"reference": reference, **fields, **more})  # fmt: skip


def test_excess_is_zero_at_the_floor_and_one_at_the_end_of_its_bad_side():
    assert excess(finding(value=1.0, low=0.5, high=2.0)) == pytest.approx((0.0, -0.5, 1.0))
    higher = finding(value=0.5, low=0.25, high=1.0, better="higher")
    assert excess(higher) == pytest.approx((1.0, 0.0, 1.5))
    assert excess(finding(reference={})) is None
    assert excess(finding(low=None)) is None


def test_a_forest_needs_two_rows():
    assert forest_picture([finding()], key="k", title="t") is None
    drawn = forest_picture([finding(), finding("fidelity.x")], key="k", title="t")
    assert drawn.data["excess"] == pytest.approx([1.0, 1.0])


def test_svg_is_the_same_bytes_every_time_and_points_nowhere():
    def draw():
        figure, (ax,) = canvas()
        ax.plot([1, 2], [3, 4], color="#d55e00")
        return to_svg(figure, "a <b>")

    assert draw() == draw()
    assert "var(--synthetic,#d55e00)" in draw()
    assert 'aria-label="a &lt;b&gt;"' in draw()
    assert "<metadata" not in draw()


@pytest.mark.parametrize(
    ("gate", "threshold", "baseline", "side"),
    [("high ≤ 2", 2.0, None, "right"), ("low ≥ 2", 2.0, None, "left"),
     ("not worse", 2.0, 1.0, "right"), ("not worse", 2.0, 3.0, "left")],
)  # fmt: skip
def test_the_forbidden_side_is_shaded(gate, threshold, baseline, side):
    verdict = Verdict(gate=gate, metric="m", verdict="PASSED", value=2.1, low=1.9, high=2.3,
                      threshold=threshold, baseline=baseline)  # fmt: skip
    drawn = bars.verdict_bar(verdict)
    start = float(drawn.split('<rect x="')[1].split('"')[0])
    assert (start > 1) == (side == "right")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (None, "–"), (0.04, "0.04"), (-1.234, "−1.23"), (12345.6, "12346"),
     (1e-7, "1.00e−7"), (3e9, "3.00e9"), (float("inf"), "–")],
)  # fmt: skip
def test_numbers_are_short_and_plain(value, text):
    assert words.number(value) == text


def test_a_conclusion_says_worse_only_outside_the_floor():
    worse = AuditResult(findings=(finding(value=9.0, low=8.0, high=10.0),))
    alike = AuditResult(findings=(finding(value=1.5, low=0.8, high=2.5),))
    assert "worse than the difference between real cohorts" in conclusion(worse)[0]
    assert "no worse than that, as far as n = 20 can tell" in conclusion(alike)[0]


def test_a_metric_s_own_verdict_is_quoted_instead():
    quoted = finding(value=9.0, low=8.0, high=10.0, params={"verdict": "n too small to say"})
    sentence = conclusion(AuditResult(findings=(quoted,)))[0]
    assert sentence.endswith("n too small to say.")
    assert "worse" not in sentence


def test_the_leading_number_is_the_named_one():
    other, named = finding("memorization.aaa"), finding("memorization.copy_rate")
    assert leading("memorization", AuditResult(findings=(other, named))) is named


def test_the_self_check_matrix_shows_strength_or_blindness():
    one = {"metric": "fidelity.x[a]", "population": "heart", "declared": True, "alarm": False}
    rows = [one | {"failure": "blur", "smallest_seen": 0.25}]
    rows += [one | {"failure": "noise", "smallest_seen": None}]
    drawn = matrix_picture(rows, "fidelity")
    assert ">0.25<" in drawn.svg
    assert ">·<" in drawn.svg
    assert matrix_picture(rows, "diversity") is None


SECTIONS = (*words.SECTIONS, "unheard_of")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_draws_without_any_data(section):
    from reports.figures import pictures_of

    empty = Material(result=AuditResult())
    assert pictures_of(section, empty) == []
    plain = Finding(metric=f"{section}.thing", value=1.0, n=3)
    assert isinstance(pictures_of(section, Material(result=AuditResult(findings=(plain,)))), list)


def test_the_self_check_document_is_read_back():
    from audit.selfcheck import Row, document

    def row(failure, seen, declared):
        return Row(population="heart", metric="fidelity.x[a]", failure=failure, declared=declared,
                   honest=0.1, honest_alarm=False, strengths=(0.25, 0.5, 1.0),
                   values=(0.2, 0.3, 0.4), seen=seen, monotone=True)  # fmt: skip

    rows = [row("mask_shift", (False, True, True), True), row("blur", (False,) * 3, False)]
    text = document(rows, subjects=8)
    found = {r["failure"]: r for r in parse_matrix(text)}
    assert found["mask_shift"]["smallest_seen"] == 0.5
    assert found["mask_shift"]["declared"]
    assert found["blur"]["smallest_seen"] is None
    assert shipped_matrix()


def test_numbers_that_are_text_are_not_cut():
    figure, (ax,) = canvas()
    ax.plot([0, 1], [0, 1])
    ax.set_title("p = 0.001")
    ax.set_xticks([0.125, 0.375])
    svg = to_svg(figure, "a shift of 0.1234")
    for text in ("p = 0.001", "0.125", "0.375", "a shift of 0.1234"):
        assert text in svg
    paths = "".join(re.findall(r' d="([^"]*)"', svg))
    assert not re.search(r"\.\d{3}", paths)


def test_one_reason_that_holds_for_many_is_said_once():
    gone = [
        Finding(metric=f"cardiac.{name}", status="not_computable", reason="a single frame.")
        for name in ("ejection_fraction", "volume_curve")
    ]
    (row,) = missing(gone)
    assert row["n"] == 2
    assert row["name"] == "Ejection fraction; Volume curve"


def test_no_copies_found_is_not_called_private():
    clean = Finding(metric="memorization.copy_rate", value=0.0, low=0.0, high=0.109, n=32,
                    better="lower", params={"verdict": "no evidence"})  # fmt: skip
    sentence = conclusion(AuditResult(findings=(clean,)))[0]
    assert "does not prove privacy: up to 11 %" in sentence
    area = clean.model_copy(update={"metric": "memorization.membership[secmi]", "better": "none"})
    assert "does not prove privacy" not in conclusion(AuditResult(findings=(area,)))[0]


def test_the_segmenter_s_score_is_said_once_and_only_where_there_is_a_segmenter():
    dice = Finding(metric="adherence.dice[lv]", value=0.7, low=0.6, high=0.8, n=9, better="higher",
                   reference={"real_vs_real": 0.9, "ceiling": 0.9})  # fmt: skip
    assert words.floor_text(dice) == "segmenter's own score on real cases 0.9"
    planted = Finding(metric="memorization.planted_recovery", value=1.0, low=0.8, high=1.0, n=9,
                      better="higher", reference={"ceiling": 1.0})  # fmt: skip
    assert words.floor_text(planted) == "best possible 1"


def test_bland_altman_keeps_the_sign_and_has_both_units():
    asked, got = np.array([100.0, 200.0, 50.0]), np.array([90.0, 220.0, 50.0])
    drawn = bland_altman(asked, got, "lv")
    assert drawn.data["difference_percent"] == pytest.approx([-1000 / 95, 2000 / 210, 0.0])
    assert "(mL)" in drawn.svg
    assert "(%)" in drawn.svg
    volumes = {"adherence.requested_ml.lv": asked, "adherence.made_ml.lv": got}
    table = pd.DataFrame({"id": list("abc"), "role": "synthetic", **volumes})
    (found,) = _agreement(Material(result=AuditResult(), cases=table))
    assert found.svg == drawn.svg


@pytest.mark.parametrize(("frames", "populations"), [(1, ("thorax", "patches")), (8, ("heart",))])
def test_the_self_check_is_shown_for_volumes_like_these(frames, populations):
    cohort = CohortSummary(n=1, n_subjects=1, hash="0", shape=(1, frames, 4, 4, 4), labeled=False)
    result = AuditResult(cohorts={"synthetic": cohort})
    assert Material(result=result).populations == populations
