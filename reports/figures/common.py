"""Drawings that several questions share, and the generic one for series nobody knows."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.result import Finding
from reports.figure import (
    ACCENT,
    FLOOR,
    HOLDOUT,
    INK,
    LINE,
    MUTED,
    ROLE_COLORS,
    ROLE_NAMES,
    SYNTHETIC,
    TRAIN,
    Picture,
    canvas,
    legend,
    picture,
)
from reports.material import Material
from reports.words import human, label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CYCLE = (SYNTHETIC, HOLDOUT, FLOOR, ACCENT, TRAIN, MUTED)
MOST_PANELS = 9


def draw(section: str, material: Material) -> Iterator[Picture]:
    """Generic figures of a section: its per-case values, then its findings' series."""
    yield from distribution_pictures(section, material)
    yield from series_pictures(material.findings(section))


def distribution_pictures(
    section: str, material: Material, columns: Sequence[str] | None = None
) -> Iterator[Picture]:
    """Densities of per-case values of a section, real beside synthetic, nine panels a figure."""
    found = columns if columns is not None else material.case_columns(f"{section}.")
    usable = [c for c in found if any(len(v) > 1 for v in material.case_values(c).values())]
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
            heights, bins = np.histogram(data, bins=14, density=True)
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


def forest_picture(findings: Sequence[Finding], *, key: str, title: str) -> Picture | None:
    """Interval of every variant of some metrics with its real-against-real floor.

    Args:
        findings: Computed findings; metrics with different units get their own panel.
        key: Of the picture.
        title: Of the picture.
    """
    names = list(dict.fromkeys(f.name for f in findings))[:8]
    if not names:
        return None
    groups = [[f for f in findings if f.name == name] for name in names]
    heights = [0.34 * len(g) + 0.62 for g in groups]
    figure, axes = canvas(len(groups), 1, height_in=sum(heights) + 0.3, ratios=heights)
    for ax, group in zip(axes, groups, strict=True):
        _forest_panel(ax, group)
    handles = _forest_handles()
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False,
                  fontsize=8, labelcolor=INK)  # fmt: skip
    return picture(
        figure,
        key=key,
        title=title,
        look_for="An interval that touches the green band is no worse than real against real at "
        "this sample size.",
        n=f"{max(f.n for f in findings)} subjects",
        data=finding_columns([f for g in groups for f in g]),
    )


def finding_columns(findings: Sequence[Finding]) -> dict[str, list[Any]]:
    """Data file of a figure of findings."""
    return {
        "metric": [f.metric for f in findings],
        "value": [f.value for f in findings],
        "low": [f.low for f in findings],
        "high": [f.high for f in findings],
        "real_vs_real": [f.reference.get("real_vs_real") for f in findings],
        "n": [f.n for f in findings],
        "unit": [f.unit for f in findings],
    }


def series_pictures(findings: Sequence[Finding], skip: Sequence[str] = ()) -> Iterator[Picture]:
    """One generic figure for every finding whose series are numbers."""
    for finding in findings:
        series = {
            name: values
            for name, values in finding.series.items()
            if name not in skip and len(values) > 1 and all(_is_number(v) for v in values)
        }
        if series and finding.status == "ok":
            yield _series_picture(finding, series)


def _series_picture(finding: Finding, series: Mapping[str, Sequence[float]]) -> Picture:
    figure, (ax,) = canvas(height_in=2.7)
    names = list(series)
    curve = (
        len({len(v) for v in series.values()}) == 1 and len(names) > 1 and _rises(series[names[0]])
    )
    if curve:
        for name, color in zip(names[1:], CYCLE * 3, strict=False):
            ax.plot(series[names[0]], series[name], color=color, marker="o", markersize=3,
                    linewidth=1.3, label=human(name))  # fmt: skip
        ax.set_xlabel(human(names[0]))
        ax.set_ylabel(f"{label(finding)}{f' ({finding.unit})' if finding.unit else ''}")
    else:
        for name, color in zip(names, CYCLE * 3, strict=False):
            values = np.sort(np.asarray(series[name], dtype=float))
            ax.step(values, np.arange(1, len(values) + 1) / len(values), where="post",
                    color=color, linewidth=1.4,
                    label=f"{human(name)} (n = {len(values)})")  # fmt: skip
        ax.set_xlabel(finding.unit or label(finding))
        ax.set_ylabel("share of cases at or below")
    ax.grid(color=LINE, linewidth=0.5)
    legend(ax)
    return picture(
        figure,
        key=f"series-{finding.metric}",
        title=label(finding),
        look_for=f"The data behind {number(finding.value)} {finding.unit}".strip() + ".",
        n=f"{finding.n} subjects",
        data=series,
    )


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
        ax.set_title(human(column.split(".", 1)[-1]))
        data |= {f"{column}.{role}": rows for role, rows in values.items()}
    for ax in axes[len(columns) :]:
        ax.set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False,
                  fontsize=8, labelcolor=INK)  # fmt: skip
    return picture(
        figure,
        key=f"{section}-densities-{part}",
        title="Per-case values, real beside synthetic",
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


def _forest_panel(ax: "Axes", group: Sequence[Finding]) -> None:
    for i, finding in enumerate(reversed(group)):
        low = finding.reference.get("real_vs_real_low")
        high = finding.reference.get("real_vs_real_high")
        floor = finding.reference.get("real_vs_real")
        if low is not None and high is not None:
            ax.fill_betweenx([i - 0.36, i + 0.36], low, high, color=FLOOR, alpha=0.25, linewidth=0)
        if floor is not None:
            ax.plot([floor, floor], [i - 0.36, i + 0.36], color=FLOOR, linewidth=1.6)
        if finding.low is not None and finding.high is not None:
            ax.plot([finding.low, finding.high], [i, i], color=INK, linewidth=1.5)
        ax.plot([finding.value or 0.0], [i], marker="o", markersize=5, color=SYNTHETIC)
    ax.set_yticks(range(len(group)), [f.variant or "value" for f in reversed(group)])
    ax.tick_params(axis="y", length=0, colors=INK)
    ax.set_ylim(-0.6, len(group) - 0.4)
    ax.locator_params(axis="x", nbins=5)
    ax.spines["left"].set_visible(False)
    arrow = {"lower": " (lower is better)", "higher": " (higher is better)"}
    ax.set_title(human(group[0].name.split(".", 1)[-1]) + arrow.get(group[0].better, ""))


def _forest_handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=INK, marker="o", markerfacecolor=SYNTHETIC, markeredgecolor=SYNTHETIC,
               linewidth=1.5, label="synthetic, with interval"),
        Line2D([], [], color=FLOOR, linewidth=1.6, label="real against real"),
        Patch(color=FLOOR, alpha=0.25, label="its range"),
    ]  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rises(values: Sequence[float]) -> bool:
    return all(b > a for a, b in itertools.pairwise(values))
