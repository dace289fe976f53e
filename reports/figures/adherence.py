"""Mask adherence: every case as a drop of rain, and volumes asked for against volumes got."""

from collections.abc import Iterator, Sequence

import numpy as np

from audit.result import Finding
from reports.figure import FLOOR, INK, LINE, MUTED, SYNTHETIC, Picture, canvas, legend
from reports.figure import picture as wrap
from reports.figures.common import rain, series_pictures
from reports.material import Material
from reports.words import human, number

SHOWN = ("dice", "hausdorff95", "surface_dice", "volume_error")
TITLES = {
    "dice": "A case at 0 missed the structure altogether; it counts. Dashed: the segmenter's own "
    "score on real cases, which no generator is expected to beat.",
    "hausdorff95": "Left is better. A missing structure stands at the image diagonal.",
}


def draw(material: Material) -> Iterator[Picture]:
    """Rain clouds per metric and structure, Bland–Altman, and what else was recorded."""
    done = [f for f in material.findings("adherence") if f.status == "ok"]
    clouds = [f for f in done if f.series.get("per_case")]
    for name in SHOWN:
        group = [f for f in clouds if f.name == f"adherence.{name}"]
        if group:
            yield _clouds(group)
    yield from _agreement(material)
    yield from series_pictures([f for f in done if f not in clouds])


def _clouds(findings: Sequence[Finding]) -> Picture:
    rows = [(f.variant or "all", f.series["per_case"], SYNTHETIC) for f in findings]
    figure, (ax,) = canvas(height_in=0.62 * len(rows) + 0.9)
    rain(ax, rows)
    for i, finding in enumerate(findings):
        ceiling = finding.reference.get("ceiling")
        if ceiling is not None:
            base = len(rows) - 1 - i
            ax.plot([ceiling] * 2, [base - 0.32, base + 0.55], color=FLOOR, linewidth=1.6,
                    linestyle="--", label="segmenter on real" if i == 0 else None)  # fmt: skip
    name = findings[0].name.split(".", 1)[1]
    ax.set_xlabel(f"{human(name)}{f' ({findings[0].unit})' if findings[0].unit else ''}")
    legend(ax, loc="lower left")
    return wrap(
        figure,
        key=f"adherence-{name}",
        title=f"{human(name)} of every case",
        look_for=TITLES.get(name, "Every point is one case; the bar is the median."),
        n=", ".join(f"{f.variant or 'all'}: {len(f.series['per_case'])}" for f in findings),
        data={f.variant or "all": f.series["per_case"] for f in findings},
    )


def _agreement(material: Material) -> Iterator[Picture]:
    """Bland–Altman of requested and realized volume, where cases.csv holds both."""
    for column in material.case_columns("adherence.requested_ml."):
        structure = column.rsplit(".", 1)[1]
        table = material.cases
        got = f"adherence.realized_ml.{structure}"
        if table is None or got not in table.columns:
            continue
        both = table[[column, got]].dropna().to_numpy(dtype=float)
        if len(both) > 2:
            yield bland_altman(both[:, 0], both[:, 1], structure)


def bland_altman(asked: np.ndarray, got: np.ndarray, structure: str) -> Picture:
    """Difference against mean of two measurements of one volume in mL."""
    mean, difference = (asked + got) / 2, got - asked
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    figure, (ax,) = canvas(height_in=2.9)
    ax.axhline(0, color=LINE, linewidth=1)
    for level, style in ((bias, "-"), (bias - 1.96 * sd, "--"), (bias + 1.96 * sd, "--")):
        ax.axhline(level, color=INK if style == "-" else MUTED, linewidth=1, linestyle=style)
        ax.annotate(f" {number(level)}", (1, level), xycoords=("axes fraction", "data"),
                    fontsize=7.5, color=MUTED, va="center")  # fmt: skip
    ax.plot(mean, difference, linewidth=0, marker="o", markersize=4, color=SYNTHETIC, alpha=0.8)
    ax.set_xlabel(f"mean of requested and realized {human(structure)} volume (mL)")
    ax.set_ylabel("realized − requested (mL)")
    return wrap(
        figure,
        key=f"bland-altman-{structure}",
        title=f"Volume asked for and volume got: {human(structure)}",
        look_for="Points should scatter around zero without a slope; dashed lines hold 95 % of "
        "them.",
        n=f"{len(asked)} cases",
        data={"requested_ml": asked.tolist(), "realized_ml": got.tolist()},
    )
