"""A figure as the report needs it: title, what to look for, n, drawing and its data.

Drawings are matplotlib SVG without dates or random ids, so equal results give equal bytes. Colors
are CSS variables with a fallback: the page's dark mode reaches into them, a saved file keeps them.
"""

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common color vision.
SYNTHETIC = "#d55e00"
HOLDOUT = "#0072b2"
TRAIN = "#56b4e9"
FLOOR = "#009e73"
ACCENT = "#cc79a7"
INK = "#1b1f24"
MUTED = "#6b7280"
LINE = "#d7dbe0"
BAD = "#f6d5d5"
ROLE_COLORS = {"synthetic": SYNTHETIC, "holdout": HOLDOUT, "train": TRAIN, "real": HOLDOUT}
ROLE_NAMES = {"synthetic": "synthetic", "holdout": "hold-out", "train": "train", "real": "real"}
VARIABLES = {
    SYNTHETIC: "--synthetic",
    HOLDOUT: "--holdout",
    TRAIN: "--train",
    FLOOR: "--floor",
    ACCENT: "--accent",
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    BAD: "--bad-soft",
}
WIDTH_IN = 5.4


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure of the report.

    Attributes:
        key: Unique within the report; also the name of the data file.
        title: What is drawn.
        look_for: One sentence on what a reader should look for.
        n: How many of what.
        svg: The drawing.
        data: Columns of the data file; no ids.
        wide: Whether it takes the whole width.
    """

    key: str
    title: str
    look_for: str
    n: str
    svg: str
    data: Mapping[str, Sequence[Any]]
    wide: bool = False

    @property
    def csv_uri(self) -> str:
        """The data as a ``data:`` link."""
        return "data:text/csv;base64," + base64.b64encode(self.csv.encode()).decode()

    @property
    def csv(self) -> str:
        """The data as CSV; columns may differ in length."""
        rows = max((len(values) for values in self.data.values()), default=0)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.data)
        for i in range(rows):
            writer.writerow([_cell(v[i]) if i < len(v) else "" for v in self.data.values()])
        return text.getvalue()


def canvas(
    rows: int = 1,
    columns: int = 1,
    *,
    height_in: float = 3.0,
    width_in: float = WIDTH_IN,
    ratios: Sequence[float] | None = None,
) -> "tuple[Figure, list[Axes]]":
    """An empty figure in the report's style and its axes, row by row."""
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, height_ratios=ratios).ravel().tolist()
    for ax in axes:
        tidy(ax)
    return figure, axes


def tidy(ax: "Axes") -> None:
    """Only the two spines that carry a scale, in quiet colors."""
    ax.set_facecolor("none")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(LINE)
    ax.tick_params(colors=MUTED, labelsize=8, length=3)
    ax.xaxis.label.set(color=INK, fontsize=9)
    ax.yaxis.label.set(color=INK, fontsize=9)


def heading(ax: "Axes", text: str) -> None:
    """Title of one panel, at its left edge, so that it is not taken for the panel above."""
    ax.set_title(text, loc="left", fontsize=8.5, color=INK, pad=4)


def legend(ax: "Axes", **options: Any) -> None:
    """A legend without a box."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8, labelcolor=INK, **options)


def to_svg(figure: "Figure", description: str) -> str:
    """Inline SVG of a figure: no dates, no file references, colors as CSS variables."""
    from html import escape

    text = io.StringIO()
    with _style():
        figure.patch.set_alpha(0)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var({variable},{color})")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", svg)
    return _shorter(svg).strip()


def picture(
    figure: "Figure",
    *,
    key: str,
    title: str,
    look_for: str,
    n: str,
    data: Mapping[str, Sequence[Any]],
    wide: bool = False,
) -> Picture:
    """Wrap a drawn matplotlib figure."""
    svg = to_svg(figure, f"{title}. {look_for}")
    return Picture(key=key, title=title, look_for=look_for, n=n, svg=svg, data=data, wide=wide)


def _style() -> Any:
    import matplotlib as mpl

    return mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "voxaudit", "font.family": "DejaVu Sans",
         "font.size": 8.5, "axes.axisbelow": True, "path.simplify": True}
    )  # fmt: skip


def _shorter(svg: str) -> str:
    """Coordinates to two decimals and no indentation: half the bytes, the same picture.

    Only inside the tags of shapes: a number that is text, such as a p of 0.001, stays whole.
    """

    def tag(match: re.Match[str]) -> str:
        return re.sub(r"(\d+\.\d{2})\d+", r"\1", match.group(0))

    svg = re.sub(r"<(?!svg|!)[^>]*>", tag, svg)
    return re.sub(r"\n\s+", "\n", svg)


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
