"""Can an attacker with the model tell its training patients from others?

Area under the curve of three attacks, train against hold-out: 0.5 is a coin, and the further from
it, on either side, the more was memorized. Members score lower in the papers, higher with PIA and
SecMI on a small model that has learned its patients by heart; an attacker learns the direction from
a model of his own, so the test is two-sided and ``params`` says which side scored lower. Where the
hold-out is large enough, the share of members found at 1 % false alarms is given too, from the side
on which they lie: its reference is what chance gives on a side chosen beforehand, and choosing it
from the same patients adds about a sixth to that. Both cohorts must come from the same site and
scanner, or the attack reads that instead. On request only (``--only memorization.membership``): it
takes about 20 denoiser calls a patient.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.copies.search import one_volume_each
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.metric import Measurement, Metric, Outcome

MOST = 128
FALSE_ALARMS = 0.01
LEVEL = 0.05
ATTACKS = ("loss", "pia", "secmi")


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """Each attack on one volume of up to 128 patients a side."""
    import torch

    from audit.copies.membership import loss_score, pia_score, secmi_score

    give = getattr(comparison.generator, "membership_target", None)
    if give is None:
        raise NotComputable(
            "this generator does not show its noise prediction", "a diffusion model of ours"
        )
    target = give()
    attacks: dict[str, Callable[..., float]] = {
        "loss": lambda case: loss_score(target, case, comparison.workshop.seed),
        "pia": lambda case: pia_score(target, case),
        "secmi": lambda case: secmi_score(target, case),
    }
    members, others = (_some(c, rng) for c in (comparison.train, comparison.cohort("holdout")))
    measured: dict[str, Outcome] = {}
    with comparison.workshop.ledger.phase("audit.copies.membership"), torch.inference_mode():
        for name in ATTACKS:
            scores = [
                np.array([attacks[name](case) for case in side]) for side in (members, others)
            ]
            measured.update(judge(name, scores[0], scores[1]))
    return measured


def judge(
    name: str,
    members: npt.NDArray[np.float64],
    others: npt.NDArray[np.float64],
) -> dict[str, Outcome]:
    """AUC and, where 100 held-out patients allow it, true positives at 1 % false positives."""
    from scipy.stats import mannwhitneyu

    area = _auc(members, others)
    p_value = float(mannwhitneyu(members, others, alternative="two-sided").pvalue)
    lower = "members" if area.value >= 0.5 else "others"
    params = {
        "attack": name,
        "members": len(members),
        "others": len(others),
        "lower_scores": lower,
    }
    found: dict[str, Outcome] = {
        name: Measurement(
            estimate=area,
            reference={"real_vs_real": 0.5, "null": 0.5},
            p_value=p_value,
            params={
                **params,
                "test": "Mann-Whitney U, two-sided",
                "verdict": _words(lower, p_value),
            },
        )
    }
    found[f"{name}_tpr"] = _found_at_one_percent(members, others, params)
    return found


def _words(lower: str, p_value: float) -> str:
    if p_value > LEVEL:
        return "members not shown to be told apart"
    told = "members are told apart"
    return told if lower == "members" else f"{told}: they score higher, against the papers"


def _found_at_one_percent(
    members: npt.NDArray[np.float64], others: npt.NDArray[np.float64], params: dict[str, Any]
) -> Outcome:
    """The share of members beyond all but 1 % of the others, on the side where members lie."""
    from audit.copies.membership import true_positives_at
    from audit.statistics.conformal import share_by_subject

    allowed = int(np.floor(len(others) * FALSE_ALARMS + 1e-9))
    if allowed < 1:
        return NotComputable(
            f"{len(others)} held-out patients show no false-positive rate of 1 %", "at least 100"
        )
    turn = 1 if params["lower_scores"] == "members" else -1
    share = true_positives_at(turn * members, turn * others, FALSE_ALARMS)
    hits = np.arange(len(members)) < round(share * len(members))
    chance = (allowed + 1) / (len(others) + 1)
    return Measurement(
        estimate=share_by_subject(hits, [str(i) for i in range(len(members))]),
        reference={"real_vs_real": chance, "null": chance},
        params={**params, "false_positive_rate": FALSE_ALARMS},
    )


def _auc(members: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> Estimate:
    """Share of pairs in which the member scores lower."""
    from audit.statistics.auc import AUC_METHOD, auc_interval

    value = float(((members[:, None] < others) + 0.5 * (members[:, None] == others)).mean())
    low, high = auc_interval(value, len(members), len(others))
    n = min(len(members), len(others))
    return Estimate(value=value, low=low, high=high, n=n, method=AUC_METHOD)


def _some(cohort: Cohort, rng: np.random.Generator) -> Cohort:
    rows = one_volume_each(cohort.subjects)
    picks = np.sort(rng.choice(rows, min(MOST, len(rows)), replace=False))
    return cohort.subset([int(i) for i in picks])


METRIC = Metric(
    compute=compute,
    better="none",  # worse on both sides of 0.5
    bounds=(0.0, 1.0),
    needs=("holdout", "generator"),
    source="Loss; PIA: Kong et al. 2023, arXiv:2305.18355; SecMI: Duan et al. 2023, 2302.01316",
    version=2,  # 2: two-sided
    default=False,
)
