"""Baselines: written by a person with a reason, readable as a diff, refused when unsafe."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from audit.baseline import accept, calibrate, read_baseline, write_baseline
from audit.errors import BadInput
from audit.result import AuditResult, Finding, Verdict, write_result

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def run(value=0.123456789, metric="fidelity.kernel_distance[ssl3d]", **more):
    finding = Finding(metric=metric, value=value, low=0.1, high=0.2, level=0.95, n=100,
                      better="lower", comparability="k", method="jackknife")  # fmt: skip
    return AuditResult(**{"name": "run", "status": "ok", "findings": (finding,), **more})


def test_it_is_sorted_rounded_and_survives_a_round_trip(tmp_path):
    baseline = accept([run()], reason="first numbers", by="anna", now=NOW)
    write_baseline(baseline, tmp_path / "b.json")
    text = (tmp_path / "b.json").read_text()
    assert '"values": [\n    0.123457\n   ]' in text
    assert list(json.loads(text)) == sorted(json.loads(text))
    again = read_baseline(tmp_path / "b.json")
    assert again.accepted.reason == "first numbers"
    write_baseline(again, tmp_path / "c.json")
    assert (tmp_path / "c.json").read_text() == text


def test_the_anchor_stays_and_history_grows():
    first = accept([run(1.0)], reason="first numbers", now=NOW)
    second = accept([run(2.0)], reason="new encoder", old=first, now=NOW)
    entry = second.metrics["fidelity.kernel_distance[ssl3d]"]
    assert (entry.values, entry.anchor) == ((2.0,), 1.0)
    assert [a.reason for a in second.history] == ["first numbers", "new encoder"]


def both(value):
    pair = (*run(value).findings, *run(value, "diversity.recall[ssl3d]").findings)
    return run().model_copy(update={"findings": pair})


def test_only_the_named_metrics_change():
    first = accept([both(5.0)], reason="first numbers")
    moved = both(9.0)
    second = accept([moved], reason="only fidelity", old=first, patterns=["fidelity.*"])
    assert second.mean["fidelity.kernel_distance[ssl3d]"] == 9.0
    assert second.mean["diversity.recall[ssl3d]"] == 5.0


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (run(status="failed"), "is failed"),
        (run(provenance={"profile": "smoke"}), "profile smoke"),
        (run(provenance={"git_dirty": True}), "changed work tree"),
        (
            run(verdicts=(Verdict(gate="g", metric="memorization.copy_rate", verdict="FAILED"),)),
            "fails the absolute gate",
        ),
    ],
)
def test_unfit_runs_are_refused(result, message):
    with pytest.raises(BadInput, match=message):
        accept([result], reason="let it pass")


def test_an_override_is_recorded():
    failing = run(verdicts=(Verdict(gate="g", metric="m.x", verdict="FAILED"),))
    assert accept([failing], reason="known and fine", override_safety=True).accepted.override


def test_a_reason_is_needed():
    with pytest.raises(BadInput, match="no reason"):
        accept([run()], reason=" ")


def test_runs_with_other_settings_are_not_pooled():
    other = run().model_copy(
        update={"findings": (run().findings[0].model_copy(update={"comparability": "z"}),)}
    )
    with pytest.raises(BadInput, match="not comparable"):
        accept([run(), other], reason="three seeds")


def test_calibration_needs_ten_runs_that_fit():
    baseline = accept([run()], reason="first numbers")
    with pytest.raises(BadInput, match="at least 10"):
        calibrate(baseline, [run()] * 9)
    with pytest.raises(BadInput, match="ten comparable values"):
        calibrate(baseline, [run(metric="diversity.recall")] * 10)


def test_a_broken_file_is_one_line(tmp_path):
    file = tmp_path / "b.json"
    file.write_text('{"metrics": 3, "unknown": 1}')
    with pytest.raises(BadInput, match=r"b\.json"):
        read_baseline(file)
    file.write_text("{")
    with pytest.raises(BadInput, match="not JSON"):
        read_baseline(file)


def _app():
    import typer

    from audit.commands import baseline

    app = typer.Typer()
    baseline.register(app)

    @app.command("other")
    def other() -> None: ...

    return app


def test_ci_never_writes_a_baseline(tmp_path, monkeypatch):
    monkeypatch.setenv("CI", "true")
    write_result(run(), tmp_path)
    file = tmp_path / "b.json"
    outcome = CliRunner().invoke(
        _app(), ["baseline", "accept", str(tmp_path), "--reason", "ci", "--file", str(file)]
    )
    assert isinstance(outcome.exception, BadInput)
    assert not file.exists()


def test_accept_and_show_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    write_result(run(), tmp_path)
    file = tmp_path / "b.json"
    said = CliRunner().invoke(
        _app(), ["baseline", "accept", str(tmp_path), "--reason", "first", "--file", str(file)]
    )
    assert said.exit_code == 0, said.exception
    shown = CliRunner().invoke(_app(), ["baseline", "show", str(file)])
    assert "fidelity.kernel_distance[ssl3d]" in shown.stdout
    assert "first" in shown.stdout
