import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import audit
from audit import scoring
from audit.cache import Cache
from audit.cohort import cohort_of
from audit.errors import BadInput, RunBroken
from audit.metric import METRICS, Metric
from audit.phantoms import spoil, thorax_cohort

sys.path.insert(0, str(Path(__file__).parent / "generators"))
from forked import end, start

FAST = ("fidelity.frechet_distance", "fidelity.kernel_distance")


@pytest.fixture(scope="module")
def cohorts():
    return {
        "train": thorax_cohort(16, seed=0),
        "holdout": thorax_cohort(16, role="holdout", seed=1),
        "synthetic": thorax_cohort(16, role="synthetic", seed=2),
    }


def fast_score(cohorts, tmp_path, **changes):
    settings = {"only": FAST, "extractors": ("intensity",), "cache": Cache(tmp_path / "cache")}
    return audit.score(**{**cohorts, **settings, **changes})


def test_every_finding_has_an_interval_n_and_floor(cohorts, tmp_path):
    result = fast_score(cohorts, tmp_path)
    assert result.status == "ok"
    for finding in result.findings:
        assert finding.status == "ok", finding.reason
        assert finding.low <= finding.value <= finding.high
        assert finding.n == 16
        assert finding.reference["real_vs_real"] is not None
        assert finding.params["extractor"] == "intensity"


def test_an_honest_cohort_stands_at_the_floor_and_a_spoiled_one_above(cohorts, tmp_path):
    honest = fast_score(cohorts, tmp_path)
    noisy = spoil(cohorts["synthetic"], "noise", 1.0, seed=3)
    spoiled = fast_score({**cohorts, "synthetic": noisy}, tmp_path)
    for metric in FAST:
        assert honest[metric].p_value > 0.05
        assert spoiled[metric].p_value < 0.05
        assert spoiled[metric].value > honest[metric].value


def test_a_second_call_measures_nothing(cohorts, tmp_path, monkeypatch):
    first = fast_score(cohorts, tmp_path, out=tmp_path / "run")
    monkeypatch.setattr(scoring, "measure", lambda *a: pytest.fail("measured again"))
    second = fast_score(cohorts, tmp_path, out=tmp_path / "run")
    assert first.findings == second.findings


def test_a_changed_seed_measures_again(cohorts, tmp_path):
    first = fast_score(cohorts, tmp_path, out=tmp_path / "run")
    second = fast_score(cohorts, tmp_path, out=tmp_path / "run", seed=1)
    assert first.findings[0].inputs_key != second.findings[0].inputs_key


def test_a_metric_that_breaks_loses_no_other_finding(cohorts, tmp_path, monkeypatch):
    load = type(METRICS).load

    def broken(self, name):
        metric = load(self, name)
        if name == FAST[0]:

            def explode(comparison, rng):
                raise ZeroDivisionError("a bug")

            return Metric(compute=explode, better="lower", source="test")
        return metric

    monkeypatch.setattr(type(METRICS), "load", broken)
    with pytest.raises(RunBroken, match=r"1 metrics failed \(fidelity.frechet_distance\)"):
        fast_score(cohorts, tmp_path, out=tmp_path / "run")
    result = audit.load_result(tmp_path / "run")
    assert result.status == "failed"
    assert result["fidelity.kernel_distance"].status == "ok"
    assert "ZeroDivisionError" in (tmp_path / "run/errors" / f"{FAST[0]}.txt").read_text()


def test_cases_have_a_row_each_and_real_ids_do_not_leave(cohorts, tmp_path):
    fast_score(cohorts, tmp_path, out=tmp_path / "run")
    cases = pd.read_csv(tmp_path / "run/cases.csv")
    assert cases.groupby("role").size().to_dict() == {"train": 16, "holdout": 16, "synthetic": 16}
    assert set(cases[cases.role == "synthetic"].id) == set(cohorts["synthetic"].ids)
    real = [*cohorts["train"].ids, *cohorts["holdout"].ids]
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(name.encode() in content for name in real), file.name
            assert str(tmp_path).encode() not in content, file.name


def test_shared_subjects_are_refused(cohorts, tmp_path):
    twice = cohort_of("holdout", [cohorts["train"][0], cohorts["train"][1]])
    with pytest.raises(BadInput, match="share 2 subjects; expected none"):
        fast_score({**cohorts, "holdout": twice}, tmp_path)


def test_an_empty_holdout_gives_reasons_not_numbers(cohorts, tmp_path):
    result = fast_score({**cohorts, "holdout": cohort_of("holdout", [])}, tmp_path)
    assert {f.status for f in result.findings} == {"not_computable"}
    assert all(f.reason for f in result.findings)


def test_one_synthetic_volume_gives_a_value_or_a_reason(cohorts, tmp_path):
    result = fast_score({**cohorts, "synthetic": cohorts["synthetic"].subset([0])}, tmp_path)
    for finding in result.findings:
        assert (finding.value is not None and np.isfinite(finding.value)) or finding.reason


def test_an_unknown_extractor_gets_a_suggestion(cohorts, tmp_path):
    with pytest.raises(BadInput, match=r"did you mean 'intensity'\?"):
        fast_score(cohorts, tmp_path, extractors=("intensty",))


KILLED = """
import sys
from pathlib import Path
import audit
from audit.cache import Cache
from audit.phantoms import thorax_cohort
audit.score(
    train=thorax_cohort(12, seed=0), holdout=thorax_cohort(12, role="holdout", seed=1),
    synthetic=thorax_cohort(12, role="synthetic", seed=2), extractors=("intensity",),
    only=("fidelity.frechet_distance*", "fidelity.kernel*", "fidelity.density",
          "diversity.coverage"),
    out=sys.argv[1], cache=Cache(Path(f"cache-{sys.argv[1]}")),
)
"""


def test_a_killed_score_continues_to_the_same_result(tmp_path):
    script = tmp_path / "score.py"
    script.write_text(KILLED)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def begin(name):
        # Not in this checkout, which may be committed to while the test runs.
        return start([script, name], environment, tmp_path / "said", tmp_path)

    assert end(begin("first")) == 0  # imports once what the others share
    begun = time.monotonic()
    assert end(begin("whole")) == 0
    duration = time.monotonic() - begun
    for share in (0.5, 0.8, 0.95):
        process = begin("killed")
        time.sleep(duration * share)
        process.kill()
        end(process)
    assert end(begin("killed")) == 0
    whole, killed = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed")
    )
    for result in (whole, killed):
        result.pop("ledger")
        result["provenance"].pop("command")
    assert whole == killed
    assert (tmp_path / "whole/cases.csv").read_text() == (tmp_path / "killed/cases.csv").read_text()
