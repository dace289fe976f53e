"""How values are spread: densities, quantiles against quantiles, and rain clouds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.figure import (
    INK,
    MUTED,
    ROLE_COLORS,
    ROLE_NAMES,
    SYNTHETIC,
    Picture,
    canvas,
    heading,
    picture,
)
from reports.material import Material
from reports.words import human

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 9


def distribution_pictures(
    section: str, material: Material, columns: Sequence[str] | None = None
) -> Iterator[Picture]:
    """Densities of per-case values of a section, real beside synthetic, nine panels a figure."""
    found = columns if columns is not None else material.case_columns(f"{section}.")
    usable = [c for c in found if _varies(material.case_values(c))]
    for part in range(0, len(usable), MOST_PANELS):
        chunk = usable[part : part + MOST_PANELS]
        yield _densities(section, material, chunk, part // MOST_PANELS)


def density(ax: "Axes", values: Mapping[str, Sequence[float]]) -> None:
    """Histogram densities of each role on common bins, filled lightly, with a median tick."""
    pooled = np.concatenate([np.asarray(v, dtype=float) for v in values.values()])
    low, high = float(pooled.min()), float(pooled.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = np.linspace(low, high, int(np.clip(np.sqrt(len(pooled)) * 1.6, 8, 32)) + 1)
    for role, rows in values.items():
        color = ROLE_COLORS.get(role, MUTED)
        heights, _ = np.histogram(rows, bins=bins, density=True)
        name = f"{ROLE_NAMES.get(role, role)} (n = {len(rows)})"
        ax.stairs(heights, bins, color=color, fill=True, alpha=0.18)
        ax.stairs(heights, bins, color=color, linewidth=1.4, label=name)
        ax.axvline(float(np.median(rows)), color=color, linewidth=1, linestyle=":")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def quantiles(ax: "Axes", real: Sequence[float], synthetic: Sequence[float]) -> None:
    """Synthetic quantiles against real ones; on the diagonal the distributions agree."""
    share = np.linspace(0.02, 0.98, int(np.clip(min(len(real), len(synthetic)), 5, 49)))
    x, y = np.quantile(real, share), np.quantile(synthetic, share)
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    ax.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle="--")
    ax.plot(x, y, color=SYNTHETIC, linewidth=0, marker="o", markersize=3)


def rain(ax: "Axes", rows: Sequence[tuple[str, Sequence[float], str]], seed: int = 0) -> None:
    """Rain clouds: density above, every case below, median as a bar; one row a group.

    Args:
        ax: Where to draw.
        rows: Name, values and color of each group, top to bottom.
        seed: Of the vertical jitter of the points.
    """
    rng = np.random.default_rng(seed)
    for i, (_, values, color) in enumerate(rows):
        base = len(rows) - 1 - i
        data = np.asarray(values, dtype=float)
        if len(data) > 1 and data.max() > data.min():
            heights, bins = np.histogram(data, bins=int(np.clip(np.sqrt(len(data)) * 2, 6, 20)))
            ax.stairs(base + 0.08 + 0.5 * heights / heights.max(), bins, baseline=base + 0.08,
                      color=color, fill=True, alpha=0.35)  # fmt: skip
        jitter = base - 0.06 - 0.24 * rng.random(len(data))
        ax.plot(data, jitter, linewidth=0, marker="o", markersize=2.4, color=color, alpha=0.8)
        middle = float(np.median(data))
        ax.plot([middle, middle], [base - 0.3, base + 0.5], color=INK, linewidth=1.6)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)])
    ax.tick_params(axis="y", length=0, colors=INK)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-0.45, len(rows) - 0.3)


def _densities(section: str, material: Material, columns: Sequence[str], part: int) -> Picture:
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    wide = across == 3
    figure, axes = canvas(down, across, height_in=1.75 * down + 0.5,
                          width_in=10.9 if wide else 5.4)  # fmt: skip
    data: dict[str, list[float]] = {}
    for ax, column in zip(axes, columns, strict=False):
        values = material.case_values(column)
        density(ax, values)
        heading(ax, human(column.removeprefix(f"{section}.").split(".", 1)[-1]))
        data |= {f"{column}.{role}": rows for role, rows in values.items()}
    for ax in axes[len(columns) :]:
        ax.set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False,
                  fontsize=8, labelcolor=INK)  # fmt: skip
    return picture(
        figure,
        key=f"{section}-densities-{part}",
        title=f"{human(section.split('.')[-1])}: every case, real beside synthetic",
        look_for="The orange outline should cover the blue ones: same center, same width, no "
        "peak of its own. Dotted lines are medians."
        if any(len(material.case_values(c)) > 1 for c in columns)
        else "Values of the synthetic cases; dotted lines are medians.",
        n=_counts(material, columns[0]),
        data=data,
        wide=wide,
    )


def _counts(material: Material, column: str) -> str:
    values = material.case_values(column)
    return ", ".join(f"{len(v)} {ROLE_NAMES[role]}" for role, v in values.items())


def _varies(values: Mapping[str, Sequence[float]]) -> bool:
    """A constant needs no density: its number is in the table."""
    return len({v for rows in values.values() for v in rows}) > 2
