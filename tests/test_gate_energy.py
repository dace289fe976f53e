"""Gates on cost: counted cost always, measured energy only where it is a measurement."""

import numpy as np
import pytest

from audit.baseline import accept
from audit.gate import judge
from audit.gates.energy import LEAST_RUNS, harm_by_runs
from audit.gates.gates_file import GatesFile
from audit.gates.noninferiority import word
from audit.result import AuditResult, Finding

ENERGY = "footprint.counted_energy_per_volume"
OWN = GatesFile.model_validate({"gates": [{"metric": ENERGY, "vs": "baseline"}]})
LAX = GatesFile.model_validate({"gates": [{"metric": "fidelity.*", "max": 1e9}]})
ADVISORY = GatesFile.model_validate(
    {"gates": [{"metric": "footprint.peak_memory", "max": 1e9, "severity": "warn"}]}
)
ADVISORY_OTHER = GatesFile.model_validate(
    {"gates": [{"metric": "fidelity.kernel_distance", "max": 1e9, "severity": "warn"}]}
)
FIVE = (1.00, 1.01, 0.99, 1.02, 0.98)


def energy(wh, *, host="a", seconds=80.0, meter="counter", low=None, high=None):
    return Finding(
        metric=ENERGY, value=wh, low=low, high=high, level=0.95, unit="Wh", better="lower", n=64,
        comparability=f"key-{host}", method="test",
        params={"meter": meter, "host": host, "components": "gpu", "metered_s": seconds},
    )  # fmt: skip


def counted(name, value, place=""):
    return Finding(
        metric=f"footprint.{name}", value=value, low=value, high=value, level=0.95, n=32,
        better="lower", comparability=f"k{place}", method="exact", params={"definition": place},
    )  # fmt: skip


def run(*findings):
    return AuditResult(name="r", status="ok", findings=findings)


def verdict(values, before=FIVE, gates=OWN, **how):
    baseline = accept([run(energy(v)) for v in before], reason="first numbers")
    first, *others = [run(energy(v, **how)) for v in values]
    decision = judge(first, gates=gates, baseline=baseline, replicates=others)
    return decision, decision.verdicts[0]


def test_a_real_increase_fails_and_no_increase_passes():
    decision, worse = verdict([1.2 * v for v in FIVE])
    assert (decision.exit_code, worse.verdict) == (1, "REGRESSED")
    assert worse.margin == pytest.approx(0.1)
    decision, same = verdict(FIVE)
    assert (decision.exit_code, same.verdict) == (0, "HELD")


@pytest.mark.parametrize(
    ("how", "values", "said"),
    [
        ({}, FIVE[:4], f"energy takes {LEAST_RUNS} of each"),
        ({"host": "b"}, FIVE, "machine a → b"),
        ({"meter": "modelled"}, FIVE, "not a measurement"),
        ({"meter": "sensor"}, FIVE, "not a measurement"),
        ({"seconds": 12.0}, FIVE, "12 s of sampling were metered, it takes 60"),
    ],
)
def test_anything_less_than_a_measurement_is_no_decision_in_words(how, values, said):
    decision, one = verdict([2 * v for v in values], **how)
    assert decision.exit_code == 3
    assert "NO DECISION" in decision.headline
    assert said in one.message


def test_replicates_from_another_machine_do_not_count():
    baseline = accept([run(energy(v)) for v in FIVE], reason="first numbers")
    others = [run(energy(2 * v, host="b")) for v in FIVE[1:]]
    decision = judge(run(energy(2.0)), gates=OWN, baseline=baseline, replicates=others)
    assert "1 candidate and 5 baseline runs" in decision.verdicts[0].message


def test_a_ceiling_judges_the_upper_end_of_the_interval():
    gate = GatesFile.model_validate({"gates": [{"metric": ENERGY, "max": 1.0}]})
    assert judge(run(energy(0.9, low=0.85, high=0.95)), gates=gate).exit_code == 0
    assert judge(run(energy(0.9, low=0.75, high=1.05)), gates=gate).exit_code == 1
    assert judge(run(energy(0.9)), gates=gate).exit_code == 3


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("denoiser_calls_per_volume", 50.0, 51.0),
        ("flops_per_volume", 120.0, 125.0),
        ("voxels_per_volume", 32768.0, 65536.0),
        ("peak_memory", 2.0, 2.3),
    ],
)
def test_counted_cost_is_gated_whatever_the_gates_file_says(name, before, after):
    quality = Finding(metric="fidelity.x", value=1.0, low=1.0, high=1.0, n=9, better="lower")
    baseline = accept([run(counted(name, before))], reason="first numbers")
    same = judge(run(quality, counted(name, before)), gates=LAX, baseline=baseline)
    more = judge(run(quality, counted(name, after)), gates=LAX, baseline=baseline)
    gone = judge(run(quality), gates=LAX, baseline=baseline)
    assert (same.exit_code, more.exit_code, gone.exit_code) == (0, 1, 1)
    assert judge(run(quality), gates=LAX).exit_code == 0


def test_memory_of_the_host_is_told_and_blocks_nothing():
    baseline = accept([run(counted("peak_memory", 2.0, "host"))], reason="first numbers")
    decision = judge(run(counted("peak_memory", 3.0, "host")), gates=ADVISORY_OTHER,
                     baseline=baseline)  # fmt: skip
    assert decision.exit_code == 0
    told = [v for v in decision.verdicts if v.metric == "footprint.peak_memory"]
    assert [(v.verdict, v.severity) for v in told] == [("REGRESSED", "warn")]


def test_a_gate_of_ones_own_takes_the_place_of_the_packaged_one():
    own = GatesFile.model_validate(
        {"gates": [{"metric": "footprint.peak_memory", "vs": "baseline", "margin": "50%"}]}
    )
    baseline = accept([run(counted("peak_memory", 2.0))], reason="first numbers")
    assert len(judge(run(counted("peak_memory", 2.5)), gates=own, baseline=baseline).verdicts) == 1


def test_packaged_energy_gate_says_no_decision_and_blocks_nothing():
    decision, _ = verdict([1.5], gates=ADVISORY)
    assert decision.exit_code == 0
    assert {v.metric: v.severity for v in decision.verdicts}[ENERGY] == "warn"


@pytest.mark.parametrize("noise", ["lognormal", "gamma"])
def test_error_rates_over_simulated_runs(noise):
    """CV 10 %, five runs a side: rarely a false alarm, mostly caught at +20 %."""
    rng = np.random.default_rng(20)

    def runs(mean):
        if noise == "gamma":
            return list(rng.gamma(100, mean / 100, LEAST_RUNS))
        return list(mean * np.exp(0.1 * rng.standard_normal(LEAST_RUNS)))

    def failed(truth):
        harms = [(b, harm_by_runs(b, runs(truth), 0.90)) for b in (runs(1.0) for _ in range(300))]
        return np.mean([word(h, 0.1 * np.mean(b)) == "REGRESSED" for b, h in harms])

    assert failed(1.0) <= 0.06
    assert failed(1.05) <= 0.20
    assert failed(1.20) >= 0.78


def test_runs_without_any_spread_are_compared_too():
    harm = harm_by_runs([1.0] * 5, [1.3] * 5, 0.9)
    assert (harm.value, harm.low, harm.high) == pytest.approx((0.3, 0.3, 0.3))
