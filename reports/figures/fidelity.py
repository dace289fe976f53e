"""Fidelity: every extractor beside its floor, and what sample size alone does to a distance."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from audit.result import Finding
from reports.drawings.distributions import density
from reports.drawings.forest import forest_picture
from reports.drawings.series import series_pictures
from reports.figure import HOLDOUT, INK, LINE, MUTED, SYNTHETIC, Picture, canvas, heading, legend
from reports.figure import picture as wrap
from reports.material import Material
from reports.words import human, label, number, rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KNOWN = ("null", "floor", "bias_n", "bias_line", "values_real", "values_synthetic")


def draw(material: Material) -> Iterator[Picture]:
    """Forest plot, bias lines, value distributions, then whatever else was recorded."""
    yield from draw_section("fidelity", material)


def draw_section(section: str, material: Material) -> Iterator[Picture]:
    """The same figures for diversity, which rests on the same features."""
    done = [f for f in material.findings(section) if f.status == "ok"]
    done.sort(key=rank)
    whole = [f for f in done if "/" not in f.variant]
    forest = forest_picture(whole, key=f"{section}-forest", title="Against real, all at a glance")
    if forest is not None:
        yield forest
    lines = [f for f in done if f.series.get("bias_n")]
    if lines:
        yield _against_n(lines)
    extrapolated = [f for f in done if f.series.get("one_over_n") and "slope" in f.params]
    if extrapolated:
        yield _extrapolation(extrapolated)
    permuted = [f for f in whole if len(f.series.get("null", ())) > 9 and f.value is not None]
    if permuted:
        yield _permutation(permuted[:8], section)
    valued = [f for f in done if f.series.get("values_real") and f.series.get("values_synthetic")]
    for start in range(0, len(valued), 6):
        yield _values(valued[start : start + 6], section, start)
    spectra = [f for f in done if f.series.get("log_power_db_real")]
    if spectra:
        yield _spectra(spectra)
    drawn = [*spectra, *extrapolated]
    yield from series_pictures([f for f in done if f not in drawn], skip=KNOWN)


def _against_n(findings: Sequence[Finding]) -> Picture:
    """One panel a feature network: their distances share no scale."""
    figure, axes = canvas(len(findings), 1, height_in=1.9 * len(findings) + 0.4)
    data: dict[str, list[float]] = {}
    for ax, finding in zip(axes, findings, strict=True):
        name = finding.variant or finding.name
        ax.plot(finding.series["bias_n"], finding.series["bias_line"], color=HOLDOUT,
                linewidth=1.2, linestyle="--", label="equal distributions")  # fmt: skip
        _point(ax, finding.n, finding, label="synthetic")
        data |= {f"{name}.n": finding.series["bias_n"], f"{name}.line": finding.series["bias_line"]}
        data |= {f"{name}.value": [finding.value or 0.0]}
        ax.set_xscale("log")
        ax.set_xticks([10, 30, 100, 300, 1000, 3000], ["10", "30", "100", "300", "1000", "3000"])
        ax.set_xticks([], minor=True)
        ax.set_xlim(max(2, 0.6 * min(f.n for f in findings)), 4000)
        ax.set_ylim(bottom=0)
        heading(ax, name)
        ax.set_ylabel("Fréchet distance")
        ax.grid(color=LINE, linewidth=0.5)
    axes[-1].set_xlabel("volumes on each side")
    legend(axes[0])
    return wrap(
        figure,
        key="frechet-against-n",
        title="Fréchet distance against sample size",
        look_for="Two samples of one distribution already lie on the dashed line: only what is "
        "above it says something about the generator.",
        n=", ".join(f"{f.variant or f.name}: n = {f.n}" for f in findings),
        data=data,
    )


def _extrapolation(findings: Sequence[Finding]) -> Picture:
    """Distances of subsamples against 1/n, their line, and where it meets infinite n."""
    figure, axes = canvas(len(findings), 1, height_in=1.9 * len(findings) + 0.4)
    data: dict[str, list[float]] = {}
    for ax, finding in zip(axes, findings, strict=True):
        x, y = finding.series["one_over_n"], finding.series["mean_distance"]
        slope, value = float(finding.params["slope"]), finding.value or 0.0
        ends = [0.0, max(x)]
        ax.plot(ends, [value + slope * v for v in ends], color=MUTED, linewidth=1.2,
                linestyle="--", label="line fitted")  # fmt: skip
        ax.plot(x, y, color=HOLDOUT, linewidth=0, marker="o", markersize=4, label="subsamples")
        _point(ax, 0, finding, label="infinitely many, with its interval")
        ticks = [0.0, *x]
        ax.set_xticks(ticks, ["∞", *(f"{1 / v:.0f}" for v in x)])
        heading(ax, finding.variant or finding.name)
        ax.set_ylabel("Fréchet distance")
        ax.grid(color=LINE, linewidth=0.5)
        name = finding.variant or finding.name
        data |= {f"{name}.one_over_n": x, f"{name}.mean_distance": y}
        data |= {f"{name}.slope": [slope], f"{name}.value": [value]}
    axes[-1].set_xlabel("volumes on each side (equal steps of 1/n)")
    legend(axes[0])
    return wrap(
        figure,
        key="frechet-infinity",
        title="Fréchet distance with infinitely many volumes",
        look_for="The dots should follow the line; where they do not, the orange value at the left "
        "rests on too few volumes.",
        n=", ".join(f"{f.variant or f.name}: n = {f.n}" for f in findings),
        data=data,
    )


def _point(ax: "Axes", x: float, finding: Finding, *, label: str) -> None:
    """A value and its interval, upright."""
    ax.plot([x], [finding.value or 0.0], color=SYNTHETIC, linewidth=0, marker="o", markersize=6,
            label=label)  # fmt: skip
    if finding.low is not None and finding.high is not None:
        ax.plot([x, x], [finding.low, finding.high], color=SYNTHETIC, linewidth=1.6)


def _spectra(findings: Sequence[Finding]) -> Picture:
    across = 2 if len(findings) > 1 else 1
    down = -(-len(findings) // across)
    figure, axes = canvas(down, across, height_in=1.8 * down + 0.3)
    data: dict[str, list[float]] = {}
    for ax, finding in zip(axes, findings, strict=False):
        for role, color in (("real", HOLDOUT), ("synthetic", SYNTHETIC)):
            power = finding.series[f"log_power_db_{role}"]
            frequency = [0.5 * i / max(len(power) - 1, 1) for i in range(len(power))]
            ax.plot(frequency, power, color=color, linewidth=1.4, label=role)
            data |= {f"{finding.variant}.{role}_db": power}
        heading(ax, f"along {finding.variant}")
        ax.set_xlabel("cycles per voxel", fontsize=7.5)
        ax.set_ylabel("dB", fontsize=7.5)
    for ax in axes[len(findings) :]:
        ax.set_visible(False)
    legend(axes[0])
    return wrap(
        figure,
        key="power-spectra",
        title="Power spectrum along each axis",
        look_for="An orange line that falls away at the right is blur; one that stays up is noise.",
        n=f"{findings[0].n} subjects",
        data=data,
    )


def _permutation(findings: Sequence[Finding], section: str) -> Picture:
    figure, axes = canvas(len(findings), 1, height_in=0.62 * len(findings) + 0.8)
    data: dict[str, list[float]] = {}
    for ax, finding in zip(axes, findings, strict=True):
        null = finding.series["null"]
        ax.hist(null, bins=24, color=MUTED, alpha=0.35, linewidth=0)
        ax.axvline(finding.value or 0.0, color=SYNTHETIC, linewidth=2)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.locator_params(axis="x", nbins=5)
        p = f" · p = {number(finding.p_value, 2)}" if finding.p_value is not None else ""
        heading(ax, f"{label(finding)}{p}")
        data |= {f"{finding.metric}.null": null, f"{finding.metric}.value": [finding.value or 0.0]}
    return wrap(
        figure,
        key=f"{section}-permutation",
        title="If real and synthetic were the same",
        look_for="Gray: values after shuffling who is real. The orange line is the observed one; "
        "outside the gray means a difference that shuffling does not make.",
        n=f"{max(f.n for f in findings)} subjects",
        data=data,
    )


def _values(findings: Sequence[Finding], section: str, start: int) -> Picture:
    across = 2 if len(findings) > 1 else 1
    down = -(-len(findings) // across)
    figure, axes = canvas(down, across, height_in=1.6 * down + 0.5)
    data: dict[str, list[float]] = {}
    for ax, finding in zip(axes, findings, strict=False):
        values = {"holdout": finding.series["values_real"],
                  "synthetic": finding.series["values_synthetic"]}  # fmt: skip
        density(ax, values)
        heading(ax, label(finding))
        data |= {f"{finding.metric}.{role}": rows for role, rows in values.items()}
    for ax in axes[len(findings) :]:
        ax.set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False,
                  fontsize=8, labelcolor=INK)  # fmt: skip
    return wrap(
        figure,
        key=f"{section}-values-{start}",
        title=f"Per-case values of {len(findings)} {human(section).lower()} metrics",
        look_for="The two outlines should lie on each other.",
        n=f"{max(f.n for f in findings)} subjects",
        data=data,
    )
