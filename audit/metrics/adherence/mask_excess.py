"""Dice with one's own mask, less the Dice with masks that others were asked to follow.

A generator that ignores its mask but draws every organ at its usual place can reach a high Dice;
its excess is 0. ``params["obeys_p_value"]`` tests that by exchanging own and other at random,
subject by subject: small is good here, so it is not the finding's p-value.
The most it can reach is 1 less the agreement between the masks themselves (``ceiling``).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from audit.against_real import labels_params
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.masks.shuffled import FloatArray, ShuffledDice, shuffled_dice
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.two_sample import test_from_null

FLIPS = 1999


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One finding a structure, and ``all``."""
    shuffled = shuffled_dice(comparison)
    excess = {name: own - shuffled.other[name] for name, own in shuffled.own.items()}
    stacked = np.stack(list(excess.values()))
    told = ~np.isnan(stacked)
    counts = told.sum(axis=0)
    total = np.where(counts > 0, np.nansum(stacked, axis=0), np.nan)
    excess = {"all": total / np.maximum(counts, 1), **excess}
    params = labels_params(comparison)
    return {name: _finding(name, values, shuffled, rng, params) for name, values in excess.items()}


def sign_flip_p_value(
    by_subject: FloatArray, rng: np.random.Generator, flips: int = FLIPS
) -> float:
    """One-sided p of a positive mean under random signs, one sign a subject.

    References:
        Fisher 1935, The Design of Experiments, section 21.
    """
    signs = rng.choice((-1.0, 1.0), size=(flips, len(by_subject)))
    return test_from_null(float(by_subject.mean()), signs @ by_subject / len(by_subject)).p_value


def _finding(
    name: str,
    values: FloatArray,
    shuffled: ShuffledDice,
    rng: np.random.Generator,
    params: Mapping[str, Any],
) -> Outcome:
    kept = np.flatnonzero(~np.isnan(values)).tolist()
    if not kept or name not in shuffled.null:
        return NotComputable("no two masks of different subjects hold this structure", "two")
    subjects = [shuffled.subjects[i] for i in kept]
    by_subject: dict[str, list[float]] = {}
    for i, subject in zip(kept, subjects, strict=True):
        by_subject.setdefault(subject, []).append(float(values[i]))
    means = np.array([np.mean(rows) for rows in by_subject.values()])
    ceiling = 1 - shuffled.between_masks[name]
    return Measurement(
        estimate=bootstrap_by_subject(np.mean, values[kept], subjects, rng=rng),
        reference={"real_vs_real": ceiling, "null": 0.0, "ceiling": ceiling},
        params={
            **params,
            "obeys_p_value": sign_flip_p_value(means, rng),
            "obeys_test": "sign flips by subject, one-sided against no excess",
            "dice_with_others": shuffled.null[name],
        },
        series={"per_case": np.sort(values[kept]).tolist()},
    )


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("mask_shift",),
    bounds=(-1.0, 1.0),
    needs=("conditions",),
    source="Control by exchange of labels: Fisher 1935, section 21; Dice 1945",
)
