"""Scenarios: closed forms of what a choice costs, intervals, and one line for a bad one."""

import pytest

from audit.errors import BadInput, NotComputable
from audit.result import PhaseRecord
from audit.scenarios import parse_scenario, scenario_rows


def record(phase, kwh, seconds=3600.0, **work):
    return PhaseRecord(phase=phase, duration_s=seconds, energy_kwh={"gpu": kwh},
                       method={"gpu": "counter"}, work=work)  # fmt: skip


RUN = (
    record("stage1_train", 1.0),
    record("denoiser_train", 4.0),
    record("sampling", 2.0, volumes=10, denoiser_calls=500),
    record("decoding", 0.5, volumes=10, voxels=10 * 64**3),
)


def rows(text, records=RUN, volumes=100):
    return scenario_rows(records, parse_scenario(text, records), volumes=volumes)


def test_nothing_changed_is_what_was_measured_with_the_band_of_the_meter():
    trained, sampled = rows("steps=50")
    assert trained["energy_kwh"] == pytest.approx(5.0)
    assert sampled["energy_kwh"] == pytest.approx(25.0)
    assert (sampled["low_kwh"], sampled["high_kwh"]) == pytest.approx((0.95 * 25, 1.25 * 25))
    assert sampled["time_h"] == pytest.approx(20.0)


def test_steps_change_sampling_and_neither_decoding_nor_training():
    trained, sampled = rows("steps=500")
    assert trained["energy_kwh"] == pytest.approx(5.0)
    assert sampled["energy_kwh"] == pytest.approx(10 * (10 * 2.0 + 0.5))
    assert rows("steps=10x")[1]["energy_kwh"] == pytest.approx(sampled["energy_kwh"])


def test_a_larger_denoiser_leaves_the_first_stage_as_it_is():
    trained, sampled = rows("model=3x")
    assert trained["energy_kwh"] == pytest.approx(1 + 12)
    assert sampled["energy_kwh"] == pytest.approx(10 * (6 + 0.5))
    assert "joules per FLOP" in sampled["basis"]


def test_size_lies_between_linear_and_quadratic_in_voxels():
    sampled = rows("size=128x128x128")[1]
    assert sampled["low_kwh"] == pytest.approx(0.95 * 10 * 8 * 2.5)
    assert sampled["high_kwh"] == pytest.approx(1.25 * 10 * (64 * 2 + 8 * 0.5))
    assert sampled["low_kwh"] < sampled["energy_kwh"] < sampled["high_kwh"]
    assert rows("size=2x")[1] == {**sampled, "scenario": "size=2x"}
    smaller = rows("size=0.5x")[1]
    assert smaller["low_kwh"] < smaller["energy_kwh"] < smaller["high_kwh"] < 25


def test_devices_divide_the_time_and_leave_the_energy_or_waste_some():
    one, four = rows("steps=50")[1], rows("devices=4")[1]
    assert four["time_h"] == pytest.approx(one["time_h"] / 4)
    assert four["energy_kwh"] == pytest.approx(one["energy_kwh"])
    assert four["high_kwh"] == pytest.approx(one["high_kwh"] / 0.7)


def test_choices_multiply():
    both = rows("steps=2x,model=3x")[1]
    assert both["energy_kwh"] == pytest.approx(10 * (6 * 2 + 0.5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step=3", "did you mean 'steps'"),
        ("steps", "scenario 'steps' says 'steps'"),
        ("steps=many", "steps is 'many'"),
        ("steps=0x", "steps is '0x'"),
        ("size=big", "size is 'big'"),
        ("model=4", "a ratio such as 4x"),
        ("devices=0", "devices is '0'"),
    ],
)
def test_a_bad_scenario_is_one_line(text, said):
    with pytest.raises(BadInput, match=said) as caught:
        parse_scenario(text, RUN)
    assert "\n" not in str(caught.value)


def test_absolute_values_need_what_they_are_held_against():
    with pytest.raises(NotComputable, match="Say steps=2x"):
        parse_scenario("steps=50", [record("sampling", 1.0, volumes=3)])
    with pytest.raises(NotComputable, match="Say size=2x"):
        parse_scenario("size=8x8x8", [record("sampling", 1.0, volumes=3)])
    with pytest.raises(NotComputable, match="no energy of training or sampling"):
        rows("model=2x", [record("audit.fidelity", 1.0)])


def test_the_report_shows_what_the_audit_projected():
    from types import SimpleNamespace

    from audit.result import Finding
    from reports.tables import _scenarios

    finding = Finding(
        metric="footprint.scenarios[steps=2x]", value=2.0, low=1.0, high=3.0, unit="Wh",
        params={"time_h": 0.5, "basis": "counter meter"},
    )  # fmt: skip
    missing = Finding(metric="footprint.scenarios", status="not_computable", reason="no sampling.")
    shown = _scenarios(SimpleNamespace(findings=lambda _: [finding, missing]))
    assert shown[0]["rows"] == [["steps=2x", "2 Wh", "1 to 3 Wh", "1800 s", "counter meter"]]
    assert _scenarios(SimpleNamespace(findings=lambda _: [missing])) == []
