"""A comparison of runs as Markdown, and as an offline page with a forest plot."""

from collections.abc import Sequence

from audit.compare import Row, Run, worst_first
from reports.figure import ACCENT, FLOOR, HOLDOUT, INK, LINE, MUTED, SYNTHETIC, Picture, canvas
from reports.figure import picture as wrap
from reports.html import page_of
from reports.markdown import escape
from reports.words import number

RUN_COLORS = (SYNTHETIC, HOLDOUT, FLOOR, ACCENT)


def unfinished(runs: Sequence[Run]) -> list[str]:
    """A sentence for every run whose numbers are incomplete."""
    return [
        f"The run {run.name} is {run.result.status}, not finished: what it lacks is not shown."
        for run in runs
        if run.result.status != "ok"
    ]


def in_both(rows: Sequence[Row]) -> list[Row]:
    """Rows with a number on both sides, worst first; the others say nothing about a change."""
    return [r for r in worst_first(rows) if r.baseline is not None and r.value is not None]


def render_comparison(rows: Sequence[Row], first: str, notes: Sequence[str] = ()) -> str:
    """Markdown table of every change against the first run."""
    shown = in_both(rows)
    head = f"## Compared with {escape(first)}\n\n"
    head += "".join(f"> {escape(note)}\n\n" for note in notes)
    head += f"| metric | run | {escape(first)} | value | harm [90 %] | |\n"
    head += "|---|---|---|---|---|---|\n"
    lines = [
        f"| `{escape(r.metric)}` | {escape(r.run)} | {number(r.baseline)} | {escape(_value(r))} "
        f"| {_harm(r)} | {r.word} ({escape(r.note)}) |"
        for r in shown
    ]
    return head + "\n".join(lines) + "\n" + "".join(f"\n{s}\n" for s in _lacking(rows, shown))


def render_comparison_html(rows: Sequence[Row], first: str, notes: Sequence[str] = ()) -> str:
    """One offline page: forest plot of the changes, then the table."""
    shown = in_both(rows)
    return page_of(
        "comparison.html.j2",
        title=f"Compared with {first}",
        notes=notes,
        lacking=_lacking(rows, shown),
        pictures=[p for p in (forest(rows),) if p is not None],
        rows=[
            {
                "metric": r.metric,
                "run": r.run,
                "baseline": number(r.baseline),
                "value": _value(r),
                "harm": _harm(r),
                "word": r.word,
                "note": r.note,
                "kind": {"worse": "bad", "better": "good"}.get(r.word, "none"),
            }
            for r in shown
        ],
    )


def _lacking(rows: Sequence[Row], shown: Sequence[Row]) -> list[str]:
    """How many numbers only some of the runs have, if any."""
    left_out = len(rows) - len(shown)
    return [f"Left out, since a run lacks them: {left_out} numbers."] if left_out else []


def _value(row: Row) -> str:
    return f"{number(row.value)} {row.unit}".strip()


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
