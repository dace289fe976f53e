"""Gates on cost: counted cost always, measured energy only where it is a measurement.

Counted cost (denoiser calls, FLOPs, voxels, peak memory) has no noise and is held against every
baseline that holds it. Measured energy is decided only from hardware counters, on one machine, over
windows of a minute and with five runs a side; else there is no decision, in words.
"""

import math
import statistics
from collections.abc import Sequence

from audit.baseline import Baseline
from audit.gates.gates_file import Gate, GatesFile, matches
from audit.gates.noninferiority import Harm
from audit.result import Finding

LEAST_RUNS = 5
LEAST_SECONDS = 60.0
MARGIN = "10%"

COST_GATES = (
    Gate(metric="footprint.denoiser_calls_per_volume", vs="baseline", margin="1%"),
    Gate(metric="footprint.flops_per_volume", vs="baseline", margin="1%"),
    Gate(metric="footprint.voxels_per_volume", vs="baseline", margin="1%"),
    Gate(metric="footprint.peak_memory", vs="baseline", margin="10%"),
    Gate(
        metric="footprint.counted_energy_per_volume",
        vs="baseline",
        margin=MARGIN,
        severity="warn",
        reason="Five runs a side are rarely at hand: it says so and blocks nothing unless a gate "
        "of your own names it.",
    ),
)


def with_cost_gates(gates: GatesFile, baseline: Baseline | None) -> tuple[Gate, ...]:
    """The file's gates, and those on cost that the baseline holds and the file leaves out."""
    held = baseline.metrics if baseline is not None else {}
    named = [gate.metric for gate in gates.gates]
    added = [
        gate
        for gate in COST_GATES
        if gate.metric in held and not any(matches(name, gate.metric) for name in named)
    ]
    # The host's peak holds what earlier phases left behind: it is told, and blocks nothing.
    added = [
        gate.model_copy(update={"severity": "warn"})
        if held[gate.metric].params.get("definition") == "host"
        else gate
        for gate in added
    ]
    return (*gates.gates, *added)


def is_energy(finding: Finding) -> bool:
    """Whether a number was read from a meter."""
    return "meter" in finding.params


def no_measurement(finding: Finding) -> str:
    """Why an energy cannot be judged, or an empty string."""
    meter = finding.params["meter"]
    if meter != "counter":
        return (
            f"the energy comes from a {meter} meter, not from counters alone: it is not a "
            "measurement; footprint.counted_energy_per_volume holds what counters gave"
        )
    seconds = finding.params.get("metered_s")
    if seconds is not None and seconds < LEAST_SECONDS:
        return (
            f"{seconds:.3g} s of sampling were metered, it takes {LEAST_SECONDS:.0f}: "
            "sample more volumes"
        )
    return ""


def harm_by_runs(before: Sequence[float], after: Sequence[float], confidence: float) -> Harm | str:
    """Harm between two groups of runs as a ratio of geometric means, by Welch's t on logarithms.

    Args:
        before: Energies of the accepted runs, positive.
        after: Energies of the runs to judge, positive.
        confidence: Two-sided level.

    Returns:
        The harm in the unit of the energies; the sentence that says why there is none.
    """
    if min(len(before), len(after)) < LEAST_RUNS:
        return (
            f"{len(after)} candidate and {len(before)} baseline runs, energy takes {LEAST_RUNS} "
            "of each (--replicate RUN; voxaudit baseline accept RUN RUN ...)"
        )
    if min(*before, *after) <= 0:
        return "a run has no energy"
    old, new = ([math.log(x) for x in group] for group in (before, after))
    base, change = math.exp(statistics.fmean(old)), statistics.fmean(new) - statistics.fmean(old)
    half = _welch_half_width(old, new, confidence)
    ends = [base * (math.exp(x) - 1) for x in (change, change - half, change + half)]
    return Harm(
        value=ends[0],
        low=ends[1],
        high=ends[2],
        method=f"{len(after)} against {len(before)} runs, Welch on logarithms",
    )


def _welch_half_width(one: Sequence[float], other: Sequence[float], confidence: float) -> float:
    from scipy.stats import t

    parts = [(statistics.variance(group) / len(group), len(group) - 1) for group in (one, other)]
    variance = sum(v for v, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(v**2 / df for v, df in parts)
    return float(t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(variance)
