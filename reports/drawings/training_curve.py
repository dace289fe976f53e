"""A number over the training of a generator, from a run's ``curve.csv``."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.figure import FLOOR, HOLDOUT, LINE, SYNTHETIC, Picture, canvas, legend, picture
from reports.words import human

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]
COLUMNS = ("checkpoint", "step", "metric", "value", "low", "high", "real_vs_real", "n")


def training_curves(rows: Rows) -> Iterator[Picture]:
    """Copies and distance over training steps, where at least two moments have a number.

    Args:
        rows: Of ``curve.csv``: step, metric, value, low, high, real_vs_real, n.
    """
    known = [row for row in rows if all(_given(row.get(k)) for k in ("value", "low", "high"))]
    metrics = dict.fromkeys(str(row["metric"]) for row in known)
    copies = [m for m in metrics if m.startswith("memorization.")]
    others = [m for m in metrics if not m.startswith("memorization.")]
    shown = [[row for row in known if row["metric"] in part] for part in (copies, others)]
    shown = [part for part in shown if len({row["step"] for row in part}) > 1]
    if not shown:
        return
    figure, axes = canvas(1, len(shown), height_in=3.0, width_in=10.9 if len(shown) > 1 else 5.4)
    for ax, part in zip(axes, shown, strict=True):
        _panel(ax, part)
    used = [row for part in shown for row in part]
    yield picture(
        figure,
        key="training-curve",
        title="Copies over the training",
        look_for="A share that climbs with the steps, while the distance to real cases no longer "
        "falls, is over-training. Bands are the intervals; dotted is what held-out patients give.",
        n=f"{len({row['checkpoint'] for row in used})} moments of {max(r['n'] for r in used):.0f} "
        "volumes or patients each",
        data={name: [row[name] for row in used] for name in COLUMNS},
        wide=len(shown) > 1,
    )


def _panel(ax: "Axes", rows: Rows) -> None:
    for metric, color in zip(
        dict.fromkeys(str(row["metric"]) for row in rows), (SYNTHETIC, HOLDOUT, FLOOR) * 9,
        strict=False,
    ):  # fmt: skip
        own = sorted((row for row in rows if row["metric"] == metric), key=lambda row: row["step"])
        steps = [row["step"] for row in own]
        ax.fill_between(steps, [row["low"] for row in own], [row["high"] for row in own],
                        color=color, alpha=0.15, linewidth=0)  # fmt: skip
        ax.plot(steps, [row["value"] for row in own], color=color, marker="o", markersize=3.5,
                linewidth=1.4, label=human(metric.split(".", 1)[-1]))  # fmt: skip
        chance = [row["real_vs_real"] for row in own]
        if all(_given(value) for value in chance):
            ax.plot(steps, chance, color=color, linewidth=1, linestyle=":")
    ax.set_xlabel("training steps")
    ax.set_ylabel("share" if rows[0]["metric"].startswith("memorization.") else "distance")
    ax.grid(color=LINE, linewidth=0.5)
    legend(ax)


def _given(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
