"""Every number of a section on one axis, each in units of its own real-against-real range."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from audit.result import Finding
from reports.figure import FLOOR, INK, SYNTHETIC, Picture, canvas, picture
from reports.words import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
