"""Mask adherence: every case as a drop of rain, and volumes asked for against volumes got."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audit.result import Finding
from reports.drawings.distributions import rain
from reports.drawings.series import series_pictures
from reports.figure import FLOOR, INK, LINE, MUTED, SYNTHETIC, Picture, canvas
from reports.figure import picture as wrap
from reports.material import Material
from reports.words import human, number, variant_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    prefix = "adherence.made_ml."
    for column in material.case_columns(prefix):
        structure = column.removeprefix(prefix)
        asked = f"adherence.requested_ml.{structure}"
        table = material.cases
        if table is None or asked not in table.columns:
            continue
        both = table.loc[table["role"] == "synthetic", [asked, column]].dropna()
        values = both.to_numpy(dtype=float)
        if len(values) > 2 and (values.sum(axis=1) > 0).all() and np.ptp(values) > 0:
            yield bland_altman(values[:, 0], values[:, 1], structure)


def bland_altman(asked_ml: FloatArray, got_ml: FloatArray, structure: str) -> Picture:
    """Difference of the two volumes against their mean, in mL and in percent of that mean.

    Bias and limits of agreement (bias ± 1.96 standard deviations).

    Args:
        asked_ml: Volume of the requested mask of each case (n).
        got_ml: Volume of the structure in the synthetic case (n).
        structure: Its name.

    References:
        Bland and Altman 1986, doi 10.1016/S0140-6736(86)90837-8.
    """
    mean = (asked_ml + got_ml) / 2
    difference = got_ml - asked_ml
    panels = {"mL": difference, "%": 100 * difference / mean}
    figure, axes = canvas(1, 2, height_in=2.7)
    for ax, (unit, values) in zip(axes, panels.items(), strict=True):
        _agreement_panel(ax, mean, values)
        ax.set_xlabel("mean of the two (mL)")
        ax.set_ylabel(f"got − asked for ({unit})")
        ax.locator_params(axis="x", nbins=4)
    return wrap(
        figure,
        key=f"bland-altman-{structure}",
        title=f"Volume asked for and volume got: {human(structure)}",
        look_for="Bland–Altman: points should scatter around zero without a slope. Solid: bias; "
        "dashed: limits that hold 95 % of cases.",
        n=f"{len(difference)} cases",
        data={
            "asked_ml": asked_ml.tolist(),
            "got_ml": got_ml.tolist(),
            "difference_percent": panels["%"].tolist(),
        },
    )


def _agreement_panel(ax: "Axes", mean: FloatArray, difference: FloatArray) -> None:
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    ax.axhline(0, color=LINE, linewidth=1)
    for level, style in ((bias, "-"), (bias - 1.96 * sd, "--"), (bias + 1.96 * sd, "--")):
        ax.axhline(level, color=INK if style == "-" else MUTED, linewidth=1, linestyle=style)
        ax.annotate(number(level), (1, level), xycoords=("axes fraction", "data"), xytext=(3, 0),
                    textcoords="offset points", fontsize=7.5, color=MUTED, va="center")  # fmt: skip
    ax.plot(mean, difference, linewidth=0, marker="o", markersize=3.5, color=SYNTHETIC, alpha=0.8)
