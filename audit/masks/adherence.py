"""From the scores of every pair to findings: one a structure, and one over all structures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from audit.against_real import labels_params
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.masks.requested import Adherence, measure_adherence, segmenter_adherence
from audit.metric import Measurement, Outcome

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

ALL = "all"
WORST = 5


def adherence_findings(
    comparison: Comparison,
    rng: np.random.Generator,
    quantity: str,
    *,
    better: Literal["lower", "higher"],
    column: str,
    statistic: Literal["median", "mean"] = "median",
    params: Mapping[str, Any] | None = None,
) -> dict[str, Outcome]:
    """Findings of one quantity: by structure, and ``all``.

    ``all`` is the mean over cases of the mean over a case's structures, so that one missing organ
    counts; a median would not move. Intervals resample the subjects of the requested masks.

    Args:
        comparison: What is compared.
        rng: Source of randomness.
        quantity: Of ``audit.masks.scores.QUANTITIES``.
        better: Direction, to list the worst cases.
        column: Prefix of the columns in cases.csv, such as ``adherence.dice``.
        statistic: Over cases, by structure; the mean for counts, whose median says little.
        params: Further parameters of the finding.

    Raises:
        NotComputable: There are no pairs, or a distance is asked for and spacing is unknown.
    """
    table = measure_adherence(comparison)
    if quantity.endswith("_mm") and not table.spacing_known:
        raise NotComputable(
            "spacing is unknown", "a voxel size in mm", "Give spacing_mm in the manifest"
        )
    trusted, undefined = _trusted(table, comparison)
    outcomes: dict[str, Outcome] = {**undefined}
    if not trusted:
        return {ALL: next(iter(outcomes.values())), **outcomes}
    about = {
        **labels_params(comparison),
        **(params or {}),
        "unpaired": table.unpaired,
        **_caution(table, comparison),
    }
    own = _own_scores(comparison, quantity, trusted, better)
    for name in trusted:
        scores = table.scores[quantity][:, table.structures.index(name)]
        one = {**about, "statistic": statistic}
        outcomes[name] = _finding(table, scores, name, rng, better, own[name], one, column)
    places = [table.structures.index(name) for name in trusted]
    pooled = _row_means(table.scores[quantity][:, places])
    overall = None if None in own.values() else float(np.mean([own[n] for n in trusted]))
    about["statistic"] = "mean"
    outcomes[ALL] = _finding(table, pooled, ALL, rng, better, overall, about, column)
    return {ALL: outcomes.pop(ALL), **outcomes}


def _trusted(
    table: Adherence, comparison: Comparison
) -> tuple[list[str], dict[str, NotComputable]]:
    """Structures that can be measured, and the reason why each of the others cannot."""
    undefined = {
        name: NotComputable(f"no label map of a synthetic case names {name}", "it, where asked for")
        for name in table.unnamed
    }
    trusted = []
    for name in table.structures:
        try:
            comparison.labels().require(name)
            trusted.append(name)
        except NotComputable as reason:
            undefined[name] = reason
    return trusted, undefined


def _caution(table: Adherence, comparison: Comparison) -> dict[str, str]:
    dice = table.scores["dice"]
    if comparison.labels().source != "given" or not (dice[~np.isnan(dice)] == 1).all():
        return {}
    return {"caution": "every given map equals its requested mask: were the images segmented?"}


def _row_means(scores: FloatArray) -> FloatArray:
    """Mean over the structures a case was asked for; NaN for a case with none of these."""
    asked = ~np.isnan(scores)
    counts = asked.sum(axis=1)
    means = np.full(len(scores), np.nan)
    means[counts > 0] = np.nansum(scores, axis=1)[counts > 0] / counts[counts > 0]
    return means


def _own_scores(
    comparison: Comparison, quantity: str, structures: list[str], better: str
) -> dict[str, float | None]:
    """What real images reach: the segmenter's own score; a given map agrees with itself."""
    if comparison.labels().source == "given":
        return dict.fromkeys(structures, 1.0 if better == "higher" else 0.0)
    table = segmenter_adherence(comparison)
    own: dict[str, float | None] = dict.fromkeys(structures)
    for name in structures if table is not None else ():
        if table is not None and name in table.structures:
            scores = table.scores[quantity][:, table.structures.index(name)]
            told = scores[~np.isnan(scores)]
            own[name] = float(np.median(told)) if len(told) else None
    return own


def _finding(
    table: Adherence,
    scores: FloatArray,
    name: str,
    rng: np.random.Generator,
    better: str,
    own: float | None,
    about: Mapping[str, Any],
    column: str,
) -> Outcome:
    asked = np.flatnonzero(~np.isnan(scores))
    values, subjects = scores[asked], [table.subjects[i] for i in asked]
    average = np.mean if about["statistic"] == "mean" else np.median
    estimate = bootstrap_by_subject(average, values, subjects, rng=rng)
    order = asked[np.argsort(values if better == "higher" else -values, kind="stable")]
    ratio = {"ratio_to_ceiling": estimate.value / own} if own and better == "higher" else {}
    return Measurement(
        estimate=estimate,
        reference={
            "real_vs_real": own,
            "ceiling": own,
            "mean": float(values.mean()),
            "median": float(np.median(values)),
        },
        params={
            **about,
            "missing_rate": _missing_rate(table, name),
            "worst_cases": [table.ids[i] for i in order[:WORST]],
            "worst_values": [float(scores[i]) for i in order[:WORST]],
            **ratio,
        },
        series={"per_case": np.sort(values).tolist()},
        cases=_column(table, scores, f"{column}.{name}"),
    )


def _missing_rate(table: Adherence, name: str) -> float:
    """Share of requests for a structure (or for any) that were not met."""
    dice = table.scores["dice"]
    columns = range(len(table.structures)) if name == ALL else [table.structures.index(name)]
    asked = sum(int((~np.isnan(dice[:, k])).sum()) for k in columns)
    return sum(int(table.missing[:, k].sum()) for k in columns) / asked


def _column(table: Adherence, values: FloatArray, name: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"id": table.ids, "role": "synthetic", name: values})
