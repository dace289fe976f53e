"""Cardiac function: distributions, quantiles and the course of volume over the cycle."""

from collections.abc import Iterator, Sequence

import numpy as np

from audit.result import Finding
from reports.drawings.distributions import distribution_pictures, quantiles
from reports.drawings.forest import forest_picture
from reports.drawings.series import series_pictures
from reports.figure import HOLDOUT, INK, LINE, MUTED, SYNTHETIC, Picture, canvas, heading
from reports.figure import picture as wrap
from reports.material import Material
from reports.words import label, rank, variant_words

FIRST = ("lv_ef_percent", "lv_edv_ml", "lv_esv_ml", "lv_sv_ml", "lv_mass_g", "rv_ef_percent",
         "rv_edv_ml", "rv_esv_ml", "rv_sv_ml")  # fmt: skip
KNOWN = ("real", "synthetic", "quantile_level", "quantile_shift", "quantile_shift_low",
         "quantile_shift_high")  # fmt: skip
CURVES = ("phase", "real_low", "real_median", "real_high", "synthetic_low", "synthetic_median",
          "synthetic_high")  # fmt: skip


def draw(material: Material) -> Iterator[Picture]:
    """Densities, QQ plots, quantile shifts and volume–time curves."""
    done = sorted((f for f in material.findings("cardiac") if f.status == "ok"), key=rank)
    forest = forest_picture(done, key="cardiac-forest", title="Against real, all at a glance")
    if forest is not None:
        yield forest
    columns = [f"cardiac.{name}" for name in FIRST if material.case_values(f"cardiac.{name}")]
    yield from distribution_pictures("cardiac", material, columns or None)
    paired = [f for f in done if f.series.get("real") and f.series.get("synthetic")]
    if paired:
        yield _qq(paired[:6])
    if any(f.series.get("quantile_shift") for f in paired):
        yield _shifts([f for f in paired if f.series.get("quantile_shift")][:6])
    curved = [f for f in done if all(f.series.get(name) for name in CURVES)]
    for finding in curved:
        yield _curve(finding)
    yield from series_pictures([f for f in done if f not in curved], skip=KNOWN)


def _qq(findings: Sequence[Finding]) -> Picture:
    across = min(3, len(findings))
    down = -(-len(findings) // across)
    figure, axes = canvas(down, across, height_in=2.0 * down + 0.2)
    data: dict[str, list[float]] = {}
    for ax, finding in zip(axes, findings, strict=False):
        quantiles(ax, finding.series["real"], finding.series["synthetic"])
        heading(ax, _short(finding))
        ax.set_xlabel("real", fontsize=8)
        ax.set_ylabel("synthetic", fontsize=8)
        ax.locator_params(nbins=4)
        data |= {f"{finding.metric}.{k}": finding.series[k] for k in ("real", "synthetic")}
    for ax in axes[len(findings) :]:
        ax.set_visible(False)
    return wrap(
        figure,
        key="cardiac-qq",
        title="Quantiles of synthetic against real hearts",
        look_for="Points on the dashed line: same distribution. Parallel to it: a shift. Flatter: "
        "too little variety.",
        n=f"{findings[0].n} subjects",
        data=data,
    )


def _shifts(findings: Sequence[Finding]) -> Picture:
    figure, axes = canvas(len(findings), 1, height_in=1.15 * len(findings) + 0.5)
    data: dict[str, list[float]] = {}
    for ax, finding in zip(axes, findings, strict=True):
        series = finding.series
        level = [100 * v for v in series["quantile_level"]]
        low = np.array([np.nan if v is None else v for v in series["quantile_shift_low"]], float)
        high = np.array([np.nan if v is None else v for v in series["quantile_shift_high"]], float)
        ax.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
        ax.fill_between(level, low, high, color=SYNTHETIC, alpha=0.18, linewidth=0)
        ax.plot(level, series["quantile_shift"], color=SYNTHETIC, marker="o", markersize=3.5,
                linewidth=1.3)  # fmt: skip
        unit = f" ({finding.unit})" if finding.unit else ""
        heading(ax, f"{label(finding)}{unit}")
        ax.locator_params(axis="y", nbins=4)
        data |= {f"{finding.metric}.{k}": series[k] for k in KNOWN[2:]}
    axes[-1].set_xlabel("percentile of the cohort")
    return wrap(
        figure,
        key="cardiac-shifts",
        title="Where in the cohort the shift lies",
        look_for="Synthetic minus real at each percentile, with interval: a band that leaves zero "
        "only at the ends means missing extremes.",
        n=f"{findings[0].n} subjects",
        data=data,
    )


def _curve(finding: Finding) -> Picture:
    figure, (ax,) = canvas(height_in=3.0)
    series = finding.series
    phase = [100 * v for v in series["phase"]]
    for role, color in (("real", HOLDOUT), ("synthetic", SYNTHETIC)):
        ax.fill_between(phase, series[f"{role}_low"], series[f"{role}_high"], color=color,
                        alpha=0.18, linewidth=0)  # fmt: skip
        ax.plot(phase, series[f"{role}_median"], color=color, linewidth=1.8, label=role)
    ax.set_xlabel("share of the cardiac cycle (%)")
    ax.set_ylabel("volume, as a share of its reference")
    ax.grid(color=LINE, linewidth=0.5)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    return wrap(
        figure,
        key=f"curve-{finding.metric}",
        title=f"Volume over the cycle: {variant_words(finding.variant)}",
        look_for="Median and middle 90 % of cases: one emptying, one filling, and the same volume "
        "at both ends. Cavities are shares of the end-diastolic LV, the wall of its own mean.",
        n=f"{finding.n} subjects",
        data={name: series[name] for name in CURVES},
    )


def _short(finding: Finding) -> str:
    """A title that fits a small panel: the variant, where it says what is measured."""
    whole = label(finding)
    return whole if len(whole) <= 22 else variant_words(finding.variant) or whole
