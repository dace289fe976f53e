"""Comparing runs: only what is comparable, in pairs where cases pair."""

import numpy as np
import pandas as pd
import pytest

from audit.compare import Run, compare, open_runs
from audit.errors import BadInput
from audit.result import AuditResult, CohortSummary, Finding, write_result


def finding(value, low, high, metric="adherence.dice[lv]", better="higher", key="k", **more):
    return Finding(metric=metric, value=value, low=low, high=high, level=0.95, n=40,
                   better=better, comparability=key, **more)  # fmt: skip


def run(name, *findings, cases=None):
    return Run(name=name, result=AuditResult(name=name, findings=findings), cases=cases)


def one(a, b):
    return compare([run("a", a), run("b", b)])[0]


def test_direction_decides_what_is_worse():
    assert one(finding(0.9, 0.89, 0.91), finding(0.8, 0.79, 0.81)).word == "worse"
    assert one(finding(0.8, 0.79, 0.81), finding(0.9, 0.89, 0.91)).word == "better"
    assert one(finding(0.8, 0.7, 0.9), finding(0.82, 0.7, 0.9)).word == "no difference shown"


def test_other_settings_are_not_compared():
    row = one(finding(0.9, 0.8, 1.0), finding(0.8, 0.7, 0.9, key="z"))
    assert row.word == "not comparable"
    assert row.harm is None


def cohort(n=24, hash="a"):
    return CohortSummary(n=n, n_subjects=n, hash=hash)


COHORTS = {"holdout": cohort(), "synthetic": cohort(hash="s")}


def recorded(params=None, cohorts=None, metric="fidelity.x[ssl3d]", key="z", **provenance):
    params = {"extractor": "ssl3d", "version": 1, "slope": 0.1} | (params or {})
    found = finding(0.9, 0.8, 1.0, metric=metric, key=key, params=params)
    provenance = {"preprocessing": {"shape": [1, 32, 32, 32], "channels": 1}} | provenance
    result = AuditResult(findings=(found,), cohorts=COHORTS | (cohorts or {}),
                         provenance=provenance)  # fmt: skip
    return Run(name="r", result=result, cases=None)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"params": {"version": 2}}, "version of the metric 1 → 2"),
        ({"params": {"extractor": "intensity"}}, "extractor ssl3d → intensity"),
        ({"params": {"weights_sha256": "ab" * 32}}, "weights none → abababab…"),
        ({"cohorts": {"holdout": cohort(30, "b")}}, "hold-out 24 → 30 cases"),
        ({"cohorts": {"holdout": cohort(24, "b")}}, "other hold-out of equal n"),
        ({"cohorts": {"synthetic": cohort(12)}}, "24 → 12 synthetic cases"),
        ({"cohorts": {"conditions": cohort()}}, "requested masks none → 24 cases"),
        ({"profile": "smoke"}, "profile none → smoke"),
        ({"preprocessing": {"shape": [1, 16, 16, 16], "channels": 1}},
         "preprocessing: shape [1, 32, 32, 32] → [1, 16, 16, 16]"),
        ({"preprocessing": {"shape": [1, 32, 32, 32], "channels": 0}},
         "preprocessing: channels 1 → 0"),
        ({"key": ""}, "a run says nothing of its settings"),
        ({"params": {"slope": 0.2}}, "a setting that the results do not record"),
    ],
)  # fmt: skip
def test_the_one_reason_that_holds_is_given_and_no_other(changed, reason):
    row = compare([recorded(key="k"), recorded(**changed)])[0]
    assert (row.word, row.note) == ("not comparable", reason)


def test_a_cost_is_not_told_apart_by_its_cohort():
    metric = "footprint.energy_per_volume"
    other = recorded(metric=metric, cohorts={"holdout": cohort(9)}, params={"host": "b"})
    row = compare([recorded(metric=metric, key="k", params={"host": "a"}), other])[0]
    assert row.note == "machine a → b"


def test_a_missing_number_gives_its_reason():
    gone = Finding(metric="adherence.dice[lv]", status="not_computable", reason="no masks.")
    assert "no masks" in one(finding(0.9, 0.8, 1.0), gone).note


def table(rng, shift, key="id"):
    base = np.random.default_rng(0).normal(0.8, 0.1, 30)
    return pd.DataFrame({"id": [f"s{i}" for i in range(30)], "role": "synthetic",
                         "condition": [f"c{i}" for i in range(30)],
                         "adherence.dice.lv": base + shift + rng.normal(0, 0.01, 30)})  # fmt: skip


def test_pairs_see_what_intervals_cannot():
    rng = np.random.default_rng(1)
    wide = finding(0.8, 0.76, 0.84)
    rows = compare([run("a", wide, cases=table(rng, 0)), run("b", wide, cases=table(rng, -0.02))])
    assert rows[0].word == "no difference shown"
    assert rows[1].metric == "adherence.dice.lv (per case)"
    assert rows[1].word == "worse"
    assert rows[1].harm.value == pytest.approx(0.02, abs=0.006)


def test_identical_cohorts_are_rarely_called_different():
    rng = np.random.default_rng(2)
    words = []
    for _ in range(60):
        a, b = run("a", finding(1, 0, 2), cases=table(rng, 0)), run("b", cases=table(rng, 0))
        words.append(compare([a, b])[-1].word)
    assert words.count("no difference shown") >= 48


def test_three_runs_are_each_compared_with_the_first():
    rows = compare([run(n, finding(0.9, 0.8, 1.0)) for n in "abc"])
    assert [r.run for r in rows] == ["b", "c"]


def test_one_run_is_bad_input(tmp_path):
    write_result(AuditResult(name="a"), tmp_path)
    with pytest.raises(BadInput, match="two or more"):
        open_runs([tmp_path])
    assert len(open_runs([tmp_path, tmp_path])) == 2


def test_cases_say_which_mask_they_followed_without_naming_a_patient(tmp_path):
    from types import SimpleNamespace

    from audit.run_folder import write_cases

    def cohort(*rows):
        return SimpleNamespace(
            sources=[SimpleNamespace(id=i, group=None, condition=c) for i, c in rows]
        )

    cohorts = {
        "train": cohort(("anna", None)),
        "holdout": cohort(("bert", None)),
        "synthetic": cohort(("s0", "bert"), ("s1", None)),
    }
    write_cases(tmp_path, [], SimpleNamespace(cohort_or_empty=cohorts.__getitem__))
    text = (tmp_path / "cases.csv").read_text()
    assert "anna" not in text
    assert "bert" not in text
    rows = pd.read_csv(tmp_path / "cases.csv").set_index("id")
    assert rows["condition"].notna().sum() == 1
    assert rows.loc["s0", "condition"] in rows.index[rows["role"] == "holdout"]


def test_unconditional_cases_pair_by_id():
    rng = np.random.default_rng(3)
    wide = finding(0.8, 0.76, 0.84)
    tables = [table(rng, shift).assign(condition=np.nan) for shift in (0, -0.02)]
    rows = compare([run("a", wide, cases=tables[0]), run("b", wide, cases=tables[1])])
    assert rows[1].word == "worse"


def test_rows_are_read_worst_first_and_what_a_run_lacks_is_counted(tmp_path):
    from typer.testing import CliRunner

    from audit.result import AuditResult, Finding, write_result
    from voxaudit import build_app

    def finding(name, value):
        return Finding(metric=name, value=value, low=value - 1, high=value + 1, level=0.95, n=9,
                       better="lower", comparability="k")  # fmt: skip

    first = (finding("a.same", 1.0), finding("a.worse", 1.0), finding("a.alone", 1.0))
    second = (finding("a.same", 1.0), finding("a.worse", 9.0))
    for name, findings in (("one", first), ("two", second)):
        write_result(AuditResult(name=name, status="ok", findings=findings), tmp_path / name)
    said = CliRunner().invoke(
        build_app(), ["compare", *(str(tmp_path / n) for n in ("one", "two"))]
    )
    lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["a.worse", "a.same"]
    assert lines[3].startswith("1 numbers that a run lacks")
