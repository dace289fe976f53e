"""Comparison with a baseline: the table of verdicts, what is not comparable, and error rates."""

import numpy as np
import pytest

from audit.baseline import accept, calibrate
from audit.gate import judge
from audit.gates.gates_file import GatesFile
from audit.gates.noninferiority import (
    Harm,
    harm_by_intervals,
    harm_by_pairs,
    harm_by_replicates,
    word,
)
from audit.result import AuditResult, Finding

METRIC = "fidelity.kernel_distance[ssl3d]"


def run(value, *, key="k", low=None, high=None, better="lower", n=200, params=None, **more):
    finding = Finding(
        metric=METRIC, value=value, low=low, high=high, level=0.9, n=n, better=better,
        comparability=key, method="test", params=params or {},
    )  # fmt: skip
    return AuditResult(name="r", status="ok", findings=(finding,), **more)


def gates(**more):
    return GatesFile.model_validate({"gates": [{"metric": METRIC, "vs": "baseline", **more}]})


def calibrated(values=(1.0, 1.0, 1.0), sd=0.1):
    baseline = accept([run(v) for v in values], reason="first numbers")
    entry = baseline.metrics[METRIC].model_copy(update={"sd_aa": sd, "aa_runs": 20})
    return baseline.model_copy(update={"metrics": {METRIC: entry}})


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.5, 0.3, 0.7, "REGRESSED"),
        (-0.5, -0.7, -0.3, "IMPROVED"),
        (0.0, -0.1, 0.1, "HELD"),
        (0.1, 0.05, 0.15, "HELD"),
        (0.25, 0.1, 0.4, "SUSPECT"),
        (0.3, -0.1, 0.7, "SUSPECT"),
        (0.1, -0.3, 0.5, "UNDERPOWERED"),
    ],
)
def test_the_table_of_verdicts(value, low, high, expected):
    margin = 0.3
    assert word(Harm(value=value, low=low, high=high, method=""), margin) == expected


def test_higher_is_better_turns_the_sign():
    worse = harm_by_replicates([0.9], [0.8], sd_aa=0.01, better="higher", confidence=0.9)
    assert worse.value == pytest.approx(0.1)
    assert harm_by_intervals(
        (0.9, 0.88, 0.92), (0.8, 0.7, 0.85), levels=(0.9, 0.9), better="higher", confidence=0.9
    ).value == pytest.approx(0.1)


def test_square_and_add_takes_the_facing_halves():
    harm = harm_by_intervals(
        (0.2, 0.1, 0.5), (0.4, 0.3, 0.7), levels=(0.9, 0.9), better="lower", confidence=0.9
    )
    assert harm.low == pytest.approx(0.2 - np.hypot(0.1, 0.3))
    assert harm.high == pytest.approx(0.2 + np.hypot(0.3, 0.1))


def test_pairs_remove_what_cases_share():
    rng = np.random.default_rng(3)
    case = rng.normal(0, 1, 40)
    a, b = case + rng.normal(0, 0.05, 40), case + 0.1 + rng.normal(0, 0.05, 40)
    harm = harm_by_pairs((b - a).tolist(), better="lower", confidence=0.9)
    assert 0.05 < harm.low < harm.high < 0.15


def test_verdicts_with_replicates():
    baseline = calibrated()
    same = judge(run(1.0), gates=gates(), baseline=baseline, replicates=[run(1.02), run(0.98)])
    assert same.verdicts[0].verdict == "HELD"
    assert same.exit_code == 0
    worse = judge(run(1.6), gates=gates(), baseline=baseline, replicates=[run(1.6), run(1.6)])
    assert worse.verdicts[0].verdict == "REGRESSED"
    assert worse.exit_code == 1
    better = judge(run(0.5), gates=gates(), baseline=baseline, replicates=[run(0.5), run(0.5)])
    assert better.verdicts[0].verdict == "IMPROVED"


def test_too_few_replicates_or_no_calibration_is_no_decision():
    single = judge(run(1.0), gates=gates(), baseline=calibrated())
    assert (single.verdicts[0].verdict, single.exit_code) == ("UNDERPOWERED", 3)
    plain = judge(run(1.0), gates=gates(), baseline=accept([run(1.0)], reason="first"))
    assert "calibrate" in plain.verdicts[0].message


def test_a_given_margin_uses_the_intervals_of_the_findings():
    baseline = accept([run(1.0, low=0.95, high=1.05)], reason="first")
    held = judge(run(1.02, low=0.97, high=1.07), gates=gates(margin=0.2), baseline=baseline)
    assert held.verdicts[0].verdict == "HELD"
    assert held.verdicts[0].margin == 0.2
    percent = judge(run(1.5, low=1.4, high=1.6), gates=gates(margin="20%"), baseline=baseline)
    assert percent.verdicts[0].verdict == "REGRESSED"


@pytest.mark.parametrize("baseline", [None, "other"])
def test_no_baseline_or_another_key_is_not_comparable(baseline):
    if baseline:
        baseline = accept([run(1.0, key="other", params={"extractor": "a"}, n=100)], reason="old")
    decision = judge(run(1.0, params={"extractor": "b"}), gates=gates(), baseline=baseline)
    assert (decision.verdicts[0].verdict, decision.exit_code) == ("NOT_COMPARABLE", 3)
    if baseline:
        assert "extractor a → b" in decision.verdicts[0].message
        assert "n 100 → 200" in decision.verdicts[0].message


def test_what_merely_describes_a_fit_is_no_reason():
    old = accept([run(1.0, key="a", params={"version": 1, "slope": 0.3})], reason="old")
    new = run(1.0, key="b", params={"version": 2, "slope": 0.4, "segmenter": {"kind": "x"}})
    message = judge(new, gates=gates(), baseline=old).verdicts[0].message
    assert message.endswith("not comparable with the baseline: version of the metric 1 → 2")


def test_an_empty_key_is_never_comparable():
    baseline = accept([run(1.0, key="")], reason="old")
    decision = judge(run(1.0, key=""), gates=gates(margin=9), baseline=baseline)
    assert decision.verdicts[0].verdict == "NOT_COMPARABLE"


def _rates(shift_sd, draws=4000, k=3, seed=0):
    """Share of verdicts when the true harm is a number of A/A standard deviations.

    The noise is calibrated from 20 runs, as a user would, and so is itself uncertain.
    """
    rng = np.random.default_rng(seed)
    counts = {}
    for _ in range(draws):
        sd_aa = rng.normal(0, 1, 20).std(ddof=1)
        harm = harm_by_replicates(
            rng.normal(0, 1, k).tolist(), rng.normal(shift_sd, 1, k).tolist(),
            sd_aa=sd_aa, better="lower", confidence=0.90,
        )  # fmt: skip
        verdict = word(harm, 3 * sd_aa)
        counts[verdict] = counts.get(verdict, 0) + 1
    return {name: count / draws for name, count in counts.items()}


def test_identical_generators_are_hardly_ever_called_regressed():
    rates = _rates(0.0)
    assert rates.get("REGRESSED", 0.0) < 0.01
    assert rates["HELD"] + rates["IMPROVED"] > 0.85


def test_a_harm_of_five_standard_deviations_is_caught():
    assert _rates(5.0)["REGRESSED"] > 0.95


@pytest.mark.parametrize("estimator", ["kernel", "frechet"])
def test_the_rates_hold_on_real_kernel_and_frechet_distances(estimator):
    """End to end on Gaussian features: calibrate from A/A runs, then judge A/A and A/B pairs."""
    rng = np.random.default_rng(7)
    real = rng.normal(size=(120, 8))

    def distance(shift):
        fake = rng.normal(size=(100, 8)) + shift
        if estimator == "frechet":
            means = ((real.mean(0) - fake.mean(0)) ** 2).sum()
            a, b = np.cov(real.T), np.cov(fake.T)
            roots = np.linalg.eigvals(a @ b).real.clip(0) ** 0.5
            return float(means + np.trace(a) + np.trace(b) - 2 * roots.sum())
        xx, yy, xy = ((u @ v.T / 8 + 1) ** 3 for u, v in ((real, real), (fake, fake), (real, fake)))
        n, m = len(real), len(fake)
        return float((xx.sum() - np.trace(xx)) / n / (n - 1)
                     + (yy.sum() - np.trace(yy)) / m / (m - 1) - 2 * xy.mean())  # fmt: skip

    aa = [distance(0.0) for _ in range(20)]
    sd = float(np.std(aa, ddof=1))
    shift = next(s for s in np.linspace(0.05, 2, 80)
                 if np.mean([distance(s) for _ in range(6)]) - np.mean(aa) > 6 * sd)  # fmt: skip
    false, caught, draws = 0, 0, 150
    for _ in range(draws):
        base = [distance(0.0) for _ in range(3)]
        for moved in (0.0, shift):
            harm = harm_by_replicates(base, [distance(moved) for _ in range(3)], sd_aa=sd,
                                      better="lower", confidence=0.9)  # fmt: skip
            regressed = word(harm, 3 * sd) == "REGRESSED"
            false += regressed and moved == 0
            caught += regressed and moved > 0
    assert false / draws < 0.02
    assert caught / draws > 0.95


def test_calibration_measures_the_noise():
    baseline = accept([run(1.0)], reason="first")
    values = np.random.default_rng(0).normal(1, 0.1, 12)
    done = calibrate(baseline, [run(float(v)) for v in values])
    assert done.metrics[METRIC].sd_aa == pytest.approx(values.std(ddof=1))
    assert done.metrics[METRIC].aa_runs == 12
