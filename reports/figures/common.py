"""Drawings that several questions share, and the generic one for series nobody knows."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
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


def forest_picture(findings: Sequence[Finding], *, key: str, title: str) -> Picture | None:
    """All numbers of a section on one axis: their excess over real against real.

    Zero is the floor, one the end of its range on the bad side; so metrics of different units and
    feature networks stand side by side without being mixed.

    Args:
        findings: Computed findings; those without a floor and its range are left out.
        key: Of the picture.
        title: Of the picture.
    """
    rows = [(f, scaled) for f in findings if (scaled := excess(f)) is not None][:26]
    if len(rows) < 2:
        return None
    figure, (ax,) = canvas(height_in=0.24 * len(rows) + 0.9)
    ax.axvspan(-1, 1, color=FLOOR, alpha=0.18, linewidth=0)
    ax.axvline(0, color=FLOOR, linewidth=1.4)
    for i, (_, (value, low, high)) in enumerate(reversed(rows)):
        ax.plot([low, high], [i, i], color=INK, linewidth=1.3)
        ax.plot([value], [i], marker="o", markersize=4.5, color=SYNTHETIC)
    ax.set_xscale("symlog", linthresh=2)
    ticks = [t for t in (-100, -10, -2, -1, 0, 1, 2, 10, 100, 1000) if _inside(ax, t)]
    ax.set_xticks(ticks, [str(t) for t in ticks], minor=False)
    ax.set_xticks([], minor=True)
    ax.set_yticks(range(len(rows)), [label(f) for f, _ in reversed(rows)])
    ax.tick_params(axis="y", length=0, colors=INK, labelsize=7.5)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("worse than real against real  →  (1 = end of its range)")
    return picture(
        figure,
        key=key,
        title=title,
        look_for="Inside the green band the synthetic cohort is no further from the hold-out than "
        "real cohorts of this size are from each other.",
        n=f"{max(f.n for f, _ in rows)} subjects",
        data=finding_columns([f for f, _ in rows])
        | {"excess": [v[0] for _, v in rows], "excess_low": [v[1] for _, v in rows],
           "excess_high": [v[2] for _, v in rows]},
    )  # fmt: skip


def excess(finding: Finding) -> tuple[float, float, float] | None:
    """Value and interval in units of the floor's range on the bad side; bad is positive."""
    floor = finding.reference.get("real_vs_real")
    edge_name = "real_vs_real_low" if finding.better == "higher" else "real_vs_real_high"
    edge = finding.reference.get(edge_name)
    numbers = (finding.value, finding.low, finding.high)
    if floor is None or edge is None or edge == floor or None in numbers:
        return None
    if finding.better == "none":
        return None
    scaled = [(v - floor) / (edge - floor) for v in numbers if v is not None]
    return scaled[0], min(scaled[1:]), max(scaled[1:])


def _inside(ax: "Axes", tick: float) -> bool:
    low, high = ax.get_xlim()
    return low <= tick <= high


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


def series_pictures(
    findings: Sequence[Finding],
    skip: Sequence[str] = (),
    captions: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Iterator[Picture]:
    """One generic figure for every finding whose series are numbers and vary.

    Args:
        findings: Of one section.
        skip: Series that another figure draws.
        captions: Title and what to look for, by metric.
    """
    for finding in findings:
        series = {
            name: values
            for name, values in finding.series.items()
            if name not in skip and len(values) > 1 and all(_is_number(v) for v in values)
        }
        varies = any(len(set(values)) > 1 for values in series.values())
        if varies and finding.status == "ok":
            yield _series_picture(finding, series, captions.get(finding.name.split(".", 1)[-1]))


def _series_picture(
    finding: Finding, series: Mapping[str, Sequence[float]], caption: tuple[str, str] | None
) -> Picture:
    figure, (ax,) = canvas(height_in=2.7)
    names = list(series)
    curve = (
        len({len(v) for v in series.values()}) == 1
        and len(names) > 1
        and _monotone(series[names[0]])
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
        ax.set_xlabel(finding.unit or ("value" if caption else label(finding)))
        ax.set_ylabel("share of cases at or below")
    ax.grid(color=LINE, linewidth=0.5)
    legend(ax)
    value = f"{number(finding.value)} {finding.unit}".strip()
    plain = f"How the number ({value}) changes along the axis." if curve else (
        f"Each curve climbs where its cases lie; the number in the table is {value}.")  # fmt: skip
    title, look_for = caption or (label(finding), plain)
    return picture(
        figure,
        key=f"series-{finding.metric}",
        title=title,
        look_for=look_for,
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
        ax.set_title(human(column.removeprefix(f"{section}.").split(".", 1)[-1]))
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _monotone(values: Sequence[float]) -> bool:
    steps = [b - a for a, b in itertools.pairwise(values)]
    return all(s > 0 for s in steps) or all(s < 0 for s in steps)
