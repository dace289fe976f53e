"""Memorization: how close the nearest training case is, for copies, for strangers, for siblings."""

from collections.abc import Iterator, Sequence

import numpy as np

from audit.result import Finding
from reports.drawings.series import series_pictures
from reports.drawings.training_curve import training_curves
from reports.figure import (
    BAD,
    HOLDOUT,
    INK,
    SYNTHETIC,
    TRAIN,
    Picture,
    canvas,
    legend,
    picture,
)
from reports.material import Material
from reports.words import number, rank

CURVES = (
    ("holdout_to_train", "hold-out → train", HOLDOUT),
    ("train_to_train", "train → train", TRAIN),
    ("synthetic_to_train", "synthetic → train", SYNTHETIC),
)

CAPTIONS = {
    "copy_rate": (
        "Similarity after alignment",
        "Candidates are laid over their nearest training case; copies stand apart at the right, "
        "beyond what held-out patients reach.",
    ),
    "partial_copies": (
        "Best matching cube of each volume",
        "Copied parts would put the synthetic curve to the right of the hold-out's.",
    ),
    "seed_agreement": (
        "Suspicious share by encoder seed",
        "The seeds should agree: a finding of one seed alone is chance.",
    ),
}


def draw(material: Material) -> Iterator[Picture]:
    """Similarity distributions, copies over the training, then what further metrics recorded."""
    shown: list[list[float]] = []
    done = [f for f in material.findings("memorization") if f.status == "ok"]
    for finding in sorted(done, key=rank):
        values = finding.series.get("synthetic_to_train")
        if values and values not in shown:  # several metrics read the same search
            shown.append(values)
            yield _similarities(finding)
    yield from training_curves(material.curve)
    yield from series_pictures(
        done, skip=(*(name for name, _, _ in CURVES), "threshold"), captions=CAPTIONS
    )


def _similarities(finding: Finding) -> Picture:
    figure, (ax,) = canvas(height_in=3.2, width_in=10.9)
    curves = [(k, name, c) for k, name, c in CURVES if finding.series.get(k)]
    pooled = np.concatenate([np.asarray(finding.series[k], dtype=float) for k, _, _ in curves])
    count = int(np.clip(1.6 * np.sqrt(len(pooled)), 10, 40))
    bins = np.linspace(pooled.min(), pooled.max() + 1e-9, count + 1).tolist()
    for key, name, color in curves:
        values = finding.series[key]
        ax.hist(values, bins=bins, density=True, color=color, alpha=0.18, linewidth=0)
        ax.hist(values, bins=bins, density=True, histtype="step", color=color, linewidth=1.5,
                label=f"{name} (n = {len(values)})")  # fmt: skip
    threshold = _threshold(finding)
    false_rate = finding.params.get("false_positive_rate", finding.params.get("alpha"))
    if threshold is not None:
        ax.axvspan(threshold, max(pooled.max(), threshold), color=BAD, zorder=0, linewidth=0)
        ax.axvline(threshold, color=INK, linewidth=1.2, linestyle="--",
                   label=f"threshold {number(threshold)}")  # fmt: skip
    ax.set_xlabel("similarity to the nearest training case")
    ax.set_ylabel("density")
    ax.set_yticks([])
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    rate = (
        f" A hold-out case crosses it with probability {number(float(false_rate))}."
        if isinstance(false_rate, int | float)
        else ""
    )
    return picture(
        figure,
        key=f"similarity-{finding.metric}",
        title="Similarity to the nearest training case",
        look_for="Synthetic cases right of the line are closer to a patient than strangers are to "
        f"each other.{rate}",
        n=", ".join(f"{len(finding.series[k])} {name}" for k, name, _ in curves),
        data={k: finding.series[k] for k, _, _ in curves}
        | ({"threshold": [threshold]} if threshold is not None else {}),
        wide=True,
    )


def _threshold(finding: Finding) -> float | None:
    found: Sequence[float] = finding.series.get("threshold") or []
    value = found[0] if found else finding.params.get("threshold")
    return float(value) if isinstance(value, int | float) else None
