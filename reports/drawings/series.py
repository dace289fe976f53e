"""The generic figure: any series of numbers that a finding carries and no other figure draws."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from audit.result import Finding
from reports.figure import (
    ACCENT,
    FLOOR,
    HOLDOUT,
    LINE,
    MUTED,
    SYNTHETIC,
    TRAIN,
    Picture,
    canvas,
    legend,
    picture,
)
from reports.words import human, label, number

CYCLE = (SYNTHETIC, HOLDOUT, FLOOR, ACCENT, TRAIN, MUTED)


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _monotone(values: Sequence[float]) -> bool:
    steps = [b - a for a, b in itertools.pairwise(values)]
    return all(s > 0 for s in steps) or all(s < 0 for s in steps)
