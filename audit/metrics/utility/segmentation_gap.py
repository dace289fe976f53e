"""Does a segmenter trained on synthetic cases work on real patients as one trained on real does?

The value is Dice on held-out real patients after training on synthetic cases, minus Dice after
training on as many real ones, averaged over structures and paired by subject; 0 means that the
synthetic cohort teaches as much as the real one, above 0 that it teaches more. The variant
``mixed`` trains on both together with the same number of steps: above 0, adding synthetic cases
helps. ``real_vs_real`` is the gap between two trainings on real cases that differ in seed and
subjects only: a gap inside it is luck of the training. Synthetic cases are taught by the masks that
came with them, or that were requested of them, never by a network's.

It lies where the hold-out cohort is tiny (the same patients are hard for both), and it says nothing
about privacy: copies of training cases teach as well as the cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from audit.cohort import Case, Cohort, cohort_of
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import Estimate, bootstrap_by_subject
from audit.metric import Measurement, Metric, Outcome
from audit.segmenter import checked
from audit.segmenter.inference import segment_cohort
from audit.segmenter.own_error import dice
from audit.segmenter.training import Recipe, fit_segmenter
from audit.volume import LabelMap

FEWEST = 4
RECIPE = Recipe(steps=200)
Scores = npt.NDArray[np.float64]


def paired_gap(
    *, tried: Scores, control: Scores, subjects: Sequence[str], rng: np.random.Generator
) -> Estimate:
    """Mean difference of per-case scores, resampled by subject.

    Args:
        tried: Score of each held-out case (n,) after the training under test.
        control: Of the same cases after training on real.
        subjects: Of each case.
        rng: Source of randomness.
    """
    return bootstrap_by_subject(
        lambda rows: float(np.mean(rows)), tried - control, subjects, rng=rng
    )


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """Four trainings: synthetic, real, mixed, and real once more."""
    return measure(comparison, rng, RECIPE)


def measure(comparison: Comparison, rng: np.random.Generator, recipe: Recipe) -> dict[str, Outcome]:
    """As ``compute`` with other training settings."""
    names = _names(comparison)
    real = _labeled(comparison.train, names, {})
    asked = comparison.conditions or Cohort("conditions", [])
    requests = {case.id: case.labels for case in asked if case.labels is not None}
    synthetic = _labeled(comparison.synthetic, names, requests)
    test = _labeled(comparison.holdout, names, {})
    n = min(len(set(real.subjects)), len(set(synthetic.subjects)))
    for name, found in (("synthetic", n), ("hold-out", len(set(test.subjects)))):
        if found < FEWEST:
            raise NotComputable(
                f"{found} {name} subjects have usable label maps", f"{FEWEST} or more"
            )
    first, again = _draw(real, n, rng), _draw(real, n, rng)
    made = _draw(synthetic, n, rng)
    both = cohort_of("train", [*first, *made])
    scores = {
        name: _scores(comparison, cohort, test, names, recipe, seed=seed)
        for name, cohort, seed in (
            ("synthetic", made, 0),
            ("real", first, 0),
            ("mixed", both, 0),
            ("again", again, 1),
        )
    }
    floor = paired_gap(
        tried=scores["again"].mean(axis=1),
        control=scores["real"].mean(axis=1),
        subjects=test.subjects,
        rng=rng,
    )
    return {
        name: _measurement(scores, name, floor, test, names, n, recipe, rng)
        for name in ("synthetic", "mixed")
    }


def _measurement(
    scores: Mapping[str, Scores],
    name: str,
    floor: Estimate,
    test: Cohort,
    names: Mapping[str, int],
    n: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Measurement:
    tried, real = scores[name], scores["real"]
    return Measurement(
        estimate=paired_gap(
            tried=tried.mean(axis=1), control=real.mean(axis=1), subjects=test.subjects, rng=rng
        ),
        reference={
            "real_vs_real": floor.value,
            "real_vs_real_low": floor.low,
            "real_vs_real_high": floor.high,
        },
        params={
            "trained_on_subjects": 2 * n if name == "mixed" else n,
            "train_on_real_dice": dict(zip(names, real.mean(axis=0).tolist(), strict=True)),
            "dice": dict(zip(names, tried.mean(axis=0).tolist(), strict=True)),
            "network": "built-in DynUNet",
            "steps": recipe.steps,
        },
        series={
            "train_on_real": real.mean(axis=1).tolist(),
            f"train_on_{name}": tried.mean(axis=1).tolist(),
        },
    )


def _names(comparison: Comparison) -> dict[str, int]:
    """Structures that a real train case names; all cohorts are recoded to it."""
    for case in comparison.train:
        if case.labels is not None and case.labels.names:
            return dict(case.labels.names)
    raise NotComputable("no training case has a label map", "label maps of real cases")


def _labeled(cohort: Cohort, names: Mapping[str, int], requests: Mapping[str, LabelMap]) -> Cohort:
    """Cases with a map that names all structures, in these codes; requested masks fill in."""
    kept: list[Case] = []
    for case in cohort:
        labels = case.labels or requests.get(case.condition or "")
        usable = checked(replace(case, labels=labels))
        if not isinstance(usable, LabelMap) or not set(names) <= set(usable.names):
            continue
        codes = np.zeros_like(usable.array)
        for name, code in names.items():
            codes[usable.mask(name)] = code
        kept.append(replace(case, labels=replace(usable, array=codes, names=dict(names))))
    return cohort_of(cohort.role, kept)


def _draw(cohort: Cohort, n: int, rng: np.random.Generator) -> Cohort:
    """All cases of n subjects."""
    picked = set(rng.permutation(sorted(set(cohort.subjects)))[:n])
    return cohort.subset([i for i, s in enumerate(cohort.subjects) if s in picked])


def _scores(
    comparison: Comparison,
    cohort: Cohort,
    test: Cohort,
    names: Mapping[str, int],
    recipe: Recipe,
    *,
    seed: int,
) -> Scores:
    """Dice (cases, structures) on the test cases after training on a cohort.

    A structure that neither truth nor prediction shows counts as agreement.
    """
    workshop = replace(comparison.workshop, seed=comparison.workshop.seed + seed)
    with workshop.ledger.phase("audit.utility"):
        segmenter, _ = fit_segmenter(cohort, comparison.preprocessing, workshop, recipe)
        made = segment_cohort(test, segmenter, workshop.cache)
    rows = []
    for case, labels in zip(test, made, strict=True):
        assert case.labels is not None
        found = [dice(case.labels, labels, name) for name in names]
        rows.append([1.0 if value is None else value for value in found])
    return np.array(rows)


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("missing_organ",),
    bounds=(-1.0, 1.0),
    needs=("holdout", "labels"),
    source="Train on synthetic, test on real: Esteban et al. 2017, arXiv:1706.02633, Sec. 4.2",
    default=False,
)
