"""Mask adherence: every case as a drop of rain, and volumes asked for against volumes got."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from audit.result import Finding
from reports.figure import FLOOR, INK, LINE, MUTED, SYNTHETIC, Picture, canvas
from reports.figure import picture as wrap
from reports.figures.common import rain, series_pictures
from reports.material import Material
from reports.words import human, number, variant_words

FloatArray = npt.NDArray[np.float64]
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
        group = [f for f in clouds if f.name == f"adherence.{name}" and "pooled" not in f.variant]
        if group:
            yield _clouds(group)
    yield from _agreement(material)
    yield from series_pictures([f for f in done if f not in clouds])


def _clouds(findings: Sequence[Finding]) -> Picture:
    rows = [(variant_words(f.variant or "all"), f.series["per_case"], SYNTHETIC) for f in findings]
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
    handles, names = ax.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", frameon=False, fontsize=8,
                      labelcolor=INK)  # fmt: skip
    return wrap(
        figure,
        key=f"adherence-{name}",
        title=f"{human(name)} of every case",
        look_for=TITLES.get(name, "Every point is one case; the bar is the median."),
        n=f"{max(len(f.series['per_case']) for f in findings)} cases",
        data={f.variant or "all": f.series["per_case"] for f in findings},
    )


def _agreement(material: Material) -> Iterator[Picture]:
    """Bland–Altman of volumes got against volumes asked for, where cases.csv holds both."""
    prefix = "adherence.volume_error_percent."
    for column in material.case_columns(prefix):
        structure = column.removeprefix(prefix)
        volume = f"anatomy.volume_ml.{structure}"
        table = material.cases
        if table is None or volume not in table.columns:
            continue
        both = table.loc[table["role"] == "synthetic", [volume, column]].dropna()
        values = both.to_numpy(dtype=float)
        if len(values) > 2 and np.ptp(values[:, 1]) > 0:
            yield bland_altman(values[:, 0], values[:, 1], structure)


def bland_altman(volume_ml: FloatArray, difference: FloatArray, structure: str) -> Picture:
    """Difference in percent of the volume asked for, against the volume got in mL."""
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    figure, (ax,) = canvas(height_in=2.9)
    ax.axhline(0, color=LINE, linewidth=1)
    for level, style in ((bias, "-"), (bias - 1.96 * sd, "--"), (bias + 1.96 * sd, "--")):
        ax.axhline(level, color=INK if style == "-" else MUTED, linewidth=1, linestyle=style)
        ax.annotate(f" {number(level)}", (1, level), xycoords=("axes fraction", "data"),
                    fontsize=7.5, color=MUTED, va="center")  # fmt: skip
    ax.plot(volume_ml, difference, linewidth=0, marker="o", markersize=4, color=SYNTHETIC,
            alpha=0.8)  # fmt: skip
    ax.set_xlabel(f"{human(structure)} volume got (mL)")
    ax.set_ylabel("got − asked for (%)")
    return wrap(
        figure,
        key=f"bland-altman-{structure}",
        title=f"Volume asked for and volume got: {human(structure)}",
        look_for="Points should scatter around zero without a slope; dashed lines hold 95 % of "
        "them.",
        n=f"{len(difference)} cases",
        data={"volume_ml": volume_ml.tolist(), "difference_percent": difference.tolist()},
    )
