"""Gates: thresholds fail closed, exit codes have one precedence, bad files have one line."""

import itertools
from datetime import date

import pytest

from audit.errors import BadInput
from audit.gate import exit_code, judge, record, smallest_n, smallest_rate
from audit.gates.gates_file import Gate, GatesFile, matches, read_gates
from audit.result import AuditResult, Finding, Verdict, load_result


def finding(metric="memorization.copy_rate", value=0.0, low=0.0, high=0.1, n=32, **more):
    fields = {"better": "lower", "level": 0.95, "method": "bootstrap", "comparability": "k"}
    return Finding(metric=metric, value=value, low=low, high=high, n=n, **fields | more)


def rate(copies, n):
    from audit.estimate import proportion

    e = proportion(copies, n)
    return finding(value=e.value, low=e.low, high=e.high, n=n, method=e.method)


def result(*findings, status="ok"):
    return AuditResult(name="r", status=status, findings=findings)


def gates(*entries, **more):
    return GatesFile.model_validate({"gates": list(entries), **more})


def only(decision):
    assert len(decision.verdicts) == 1
    return decision.verdicts[0]


def test_packaged_gate_passes_an_honest_cohort_and_fails_replay():
    assert judge(result(rate(0, 32))).exit_code == 0
    assert judge(result(rate(32, 32))).exit_code == 1


def test_upper95_is_the_one_sided_exact_bound():
    gate = {"metric": "memorization.copy_rate", "bound": "upper95", "max": 0.02}
    assert only(judge(result(rate(0, 149)), gates=gates(gate))).verdict == "PASSED"
    verdict = only(judge(result(rate(0, 148)), gates=gates(gate)))
    assert verdict.verdict == "UNDERPOWERED"
    assert "n ≥ 149" in verdict.message


def test_the_power_of_n_is_closed_form():
    assert smallest_n(0.02) == 149
    assert smallest_rate(149) == pytest.approx(1 - 0.05 ** (1 / 149))


def test_too_few_volumes_is_no_decision_and_an_observed_copy_fails():
    gate = {"metric": "memorization.copy_rate", "bound": "upper95", "max": 0.02}
    assert judge(result(rate(0, 50)), gates=gates(gate)).exit_code == 3
    assert judge(result(rate(2, 50)), gates=gates(gate)).exit_code == 1


def test_the_unfavorable_end_is_judged_unless_said_otherwise():
    inside = finding(value=0.05, high=0.3)
    assert judge(result(inside), gates=gates({"metric": "*", "max": 0.2})).exit_code == 1
    assert (
        judge(result(inside), gates=gates({"metric": "*", "bound": "value", "max": 0.2})).exit_code
        == 0
    )
    dice = finding("adherence.dice[lv]", value=0.9, low=0.78, high=0.95, better="higher")
    assert judge(result(dice), gates=gates({"metric": "adherence.dice", "min": 0.8})).exit_code == 1


@pytest.mark.parametrize(("choice", "code"), [("fail", 1), ("no_decision", 3)])
def test_a_number_that_is_not_computable_never_passes(choice, code):
    missing = Finding(metric="memorization.copy_rate", status="not_computable", reason="no train.")
    decision = judge(result(missing), gates=gates({"metric": "*", "max": 1, "on_missing": choice}))
    assert decision.exit_code == code
    assert "no train" in only(decision).message


def test_a_metric_that_was_not_measured_never_passes():
    decision = judge(result(finding("fidelity.kernel_distance[ssl3d]")))
    assert only(decision).verdict == "FAILED"


def test_a_metric_that_does_not_exist_is_bad_input():
    with pytest.raises(BadInput, match="which no audit measures"):
        judge(result(), gates=gates({"metric": "memorization.copyrate_", "max": 1}))


def test_a_run_that_is_not_finished_is_broken_but_a_failed_gate_wins():
    assert judge(result(rate(0, 32), status="running")).exit_code == 4
    assert judge(result(rate(32, 32), status="failed")).exit_code == 1


def test_a_finding_without_the_needed_bound_is_undecided():
    open_end = finding(low=None, high=None, method="none: a single subject")
    assert judge(result(open_end), gates=gates({"metric": "*", "max": 1})).exit_code == 3


@pytest.mark.parametrize(
    "pair", list(itertools.combinations(["FAILED", "ERROR", "UNDERPOWERED"], 2))
)
def test_precedence_of_exit_codes(pair):
    codes = {"FAILED": 1, "ERROR": 4, "UNDERPOWERED": 3}
    verdicts = [Verdict(gate="g", metric="m", verdict=word) for word in reversed(pair)]
    assert exit_code(verdicts) == codes[pair[0]]


def test_warnings_never_change_the_exit_code_and_strict_blocks_suspect():
    warn = Verdict(gate="g", metric="m", verdict="FAILED", severity="warn")
    suspect = Verdict(gate="g", metric="m", verdict="SUSPECT")
    assert exit_code([warn, suspect]) == 0
    assert exit_code([suspect], strict=True) == 1
    undecided = Verdict(gate="g", metric="m", verdict="UNDERPOWERED")
    assert exit_code([undecided], allow_no_decision=True) == 0


def test_an_ignore_holds_until_its_day_and_is_printed_afterwards():
    file = gates(
        {"metric": "memorization.copy_rate", "max": 0.02},
        ignore=[{"metric": "memorization.*", "until": "2026-12-31", "reason": "known case"}],
    )
    before = judge(result(rate(9, 32)), gates=file, today=date(2026, 12, 31))
    after = judge(result(rate(9, 32)), gates=file, today=date(2027, 1, 1))
    assert (before.exit_code, after.exit_code) == (0, 1)
    assert "expired ignore" in after.notes[0]


def test_brackets_in_a_pattern_are_literal():
    assert matches("fidelity.kernel_distance[ssl3d]", "fidelity.kernel_distance[ssl3d]")
    assert not matches("fidelity.kernel_distance[ssl3d]", "fidelity.kernel_distances")
    assert matches("fidelity.kernel_distance", "fidelity.kernel_distance[ssl3d]")
    assert matches("fidelity.*[ssl3d]", "fidelity.kernel_distance[ssl3d]")
    assert not matches("fidelity.*[ssl3d]", "fidelity.kernel_distance[intensity]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gates: [{metric: a.b, maximum: 1}]", "did you mean 'max'"),
        ("gates: [{metric: a.b}]", "exactly one of max, min and vs"),
        ("gates: []", "at least 1 item"),
        ("gates: [", "not YAML"),
        ("[1, 2]", "dictionary"),
        ("default: {}\ngates: [{metric: a, max: 1}]", "did you mean 'defaults'"),
    ],
)
def test_a_bad_gates_file_is_one_line(tmp_path, text, message):
    file = tmp_path / "gates.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        read_gates(file)
    assert "\n" not in str(caught.value)


def test_verdicts_are_written_to_the_result_and_gate_json(tmp_path):
    run = result(rate(32, 32))
    record(judge(run), run, tmp_path)
    assert load_result(tmp_path).verdicts[0].verdict == "FAILED"
    assert '"exit_code": 1' in (tmp_path / "gate.json").read_text()


def test_a_gate_has_one_form():
    with pytest.raises(ValueError, match="exactly one"):
        Gate(metric="a", max=1, min=0)


def test_a_run_is_found_by_folder_result_or_pointer(tmp_path):
    from audit.run_path import find_run

    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    pointer = tmp_path / "runs" / "latest"
    pointer.write_text(f"{folder}\n")
    assert find_run(folder) == find_run(folder / "result.json") == find_run(pointer) == folder
    pointer.write_text("/nowhere\n")
    with pytest.raises(BadInput, match="points to no run folder"):
        find_run(pointer)


def test_modelled_energy_is_never_gated_and_counted_energy_is():
    gate = {"metric": "footprint.energy_per_volume", "max": 1.0}
    modelled = finding("footprint.energy_per_volume", params={"meter": "modelled"})
    verdict = only(judge(result(modelled), gates=gates(gate)))
    assert verdict.verdict == "UNDERPOWERED"
    assert "not a measurement" in verdict.message
    counted = finding("footprint.energy_per_volume", params={"meter": "counter"})
    assert only(judge(result(counted), gates=gates(gate))).verdict == "PASSED"


def test_one_baseline_a_generator_is_found_by_the_run_s_name(tmp_path):
    from reports.commands.gate import _named

    run = tmp_path / "mine" / "ldm"
    assert _named("baselines/{generator}.json", run) == "baselines/ldm.json"
    assert _named("baselines/all.json", run) == "baselines/all.json"
    for wrong in ("{dataset}.json", "{}.json", "{generator.json"):
        with pytest.raises(BadInput, match="names the baseline"):
            _named(wrong, run)
