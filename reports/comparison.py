"""A comparison of runs as Markdown, and as an offline page with a forest plot."""

from collections.abc import Sequence

from audit.compare import Row, worst_first
from reports.figure import ACCENT, FLOOR, HOLDOUT, INK, LINE, MUTED, SYNTHETIC, Picture, canvas
from reports.figure import picture as wrap
from reports.html import page_of
from reports.markdown import escape
from reports.words import number

RUN_COLORS = (SYNTHETIC, HOLDOUT, FLOOR, ACCENT)


def render_comparison(rows: Sequence[Row], first: str) -> str:
    """Markdown table of every change against the first run."""
    head = f"## Compared with {escape(first)}\n\n| metric | run | {escape(first)} | value | "
    head += "harm [90 %] | |\n|---|---|---|---|---|---|\n"
    lines = [
        f"| `{escape(r.metric)}` | {escape(r.run)} | {number(r.baseline)} | {number(r.value)} "
        f"{escape(r.unit)} | {_harm(r)} | {r.word} ({escape(r.note)}) |"
        for r in worst_first(rows)
    ]
    return head + "\n".join(lines) + "\n"


def render_comparison_html(rows: Sequence[Row], first: str) -> str:
    """One offline page: forest plot of the changes, then the table."""
    return page_of(
        "comparison.html.j2",
        title=f"Compared with {first}",
        pictures=[p for p in (forest(rows),) if p is not None],
        rows=[
            {
                "metric": r.metric,
                "run": r.run,
                "baseline": number(r.baseline),
                "value": f"{number(r.value)} {r.unit}".strip(),
                "harm": _harm(r),
                "word": r.word,
                "note": r.note,
                "kind": {"worse": "bad", "better": "good"}.get(r.word, "none"),
            }
            for r in worst_first(rows)
        ],
    )


def forest(rows: Sequence[Row]) -> Picture | None:
    """Harm of every metric in units of its own interval's half-width, one color a run."""
    drawn = [r for r in worst_first(rows) if r.harm is not None and r.harm.high > r.harm.low][:40]
    if not drawn:
        return None
    runs = list(dict.fromkeys(r.run for r in drawn))
    colors = dict(zip(runs, RUN_COLORS * len(runs), strict=False))
    figure, (ax,) = canvas(height_in=0.26 * len(drawn) + 1.0, width_in=8.0)
    ax.axvline(0, color=MUTED, linewidth=1)
    for i, row in enumerate(reversed(drawn)):
        assert row.harm is not None
        half = (row.harm.high - row.harm.low) / 2
        low, value, high = (v / half for v in (row.harm.low, row.harm.value, row.harm.high))
        ax.plot([low, high], [i, i], color=INK, linewidth=1.3)
        ax.plot([value], [i], marker="o", markersize=5, color=colors[row.run])
    names = [f"{r.metric}{f' · {r.run}' if len(runs) > 1 else ''}" for r in reversed(drawn)]
    ax.set_yticks(range(len(drawn)), names)
    ax.tick_params(axis="y", length=0, colors=INK, labelsize=7.5)
    ax.set_xlabel("← better   |   change, in half-widths of its own interval   |   worse →")
    ax.set_ylim(-0.6, len(drawn) - 0.4)
    ax.grid(axis="x", color=LINE, linewidth=0.5)
    return wrap(
        figure,
        key="comparison",
        title="Change against the first run",
        look_for="An interval to the right of zero is a change for the worse, to the left for the "
        "better; one that crosses zero shows nothing.",
        n=f"{len(drawn)} changes",
        data={
            "metric": [r.metric for r in drawn],
            "run": [r.run for r in drawn],
            "harm": [r.harm.value if r.harm else None for r in drawn],
            "low": [r.harm.low if r.harm else None for r in drawn],
            "high": [r.harm.high if r.harm else None for r in drawn],
        },
        wide=True,
    )


def _harm(row: Row) -> str:
    if row.harm is None:
        return "–"
    return f"{number(row.harm.value)} [{number(row.harm.low)}, {number(row.harm.high)}]"
