"""The audit audited: which planted failure each metric sees, from the document shipped with it.

``voxaudit selfcheck --out docs/selfcheck.md`` renews it; a checkout reads that file, an installed
copy the one in ``reports/data``.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from reports.figure import FLOOR, INK, LINE, MUTED, Picture, canvas
from reports.figure import picture as wrap
from reports.words import human, variant_words

HERE = Path(__file__).parent
FILES = (HERE.parent / "docs" / "selfcheck.md", HERE / "data" / "selfcheck.md")


@cache
def shipped_matrix() -> tuple[dict[str, Any], ...]:
    """Rows of the last self-check, or none where this copy ships without one."""
    file = next((f for f in FILES if f.is_file()), None)
    return tuple(parse_matrix(file.read_text(encoding="utf-8"))) if file else ()


def parse_matrix(text: str) -> list[dict[str, Any]]:
    """Rows of the Markdown that ``audit.selfcheck.document`` writes: one a metric and failure.

    Each has ``population``, ``metric``, ``failure``, ``declared`` (bold), ``smallest_seen`` (None
    for a dash, and for ``n?``: too few subjects to say) and ``alarm``, whether the metric called
    the honest cohort different.
    """
    rows: list[dict[str, Any]] = []
    head: list[str] = []
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if not line.startswith("|") or set(line) <= set("|- "):
            head = head if line.startswith("|") else []
            continue
        if not head:
            head = cells
            continue
        for failure, cell in zip(head[1:-1], cells[1:-1], strict=False):
            found = re.fullmatch(r"(\*\*)?(–|n\?|[0-9.]+)(\*\*)?", cell)
            if found:
                rows.append(
                    {
                        "population": head[0],
                        "metric": cells[0],
                        "failure": failure.replace(" ", "_"),
                        "declared": bool(found[1]),
                        "smallest_seen": None if found[2] in "–n?" else float(found[2]),
                        "alarm": cells[-1] == "alarm",
                    }
                )
    return rows


def matrix_picture(rows: Sequence[dict[str, Any]], section: str) -> Picture | None:
    """Metric by failure: the smallest planted strength that was seen.

    Args:
        rows: Of ``parse_matrix``.
        section: Question whose metrics are drawn.
    """
    mine = [r for r in rows if str(r["metric"]).startswith(f"{section}.")]
    metrics = sorted({(r["metric"], r["population"]) for r in mine})
    failures = sorted({r["failure"] for r in mine})
    if not metrics or not failures:
        return None
    figure, (ax,) = canvas(height_in=0.22 * len(metrics) + 1.1, width_in=10.9)
    for row in mine:
        x, y = failures.index(row["failure"]), metrics.index((row["metric"], row["population"]))
        _cell(ax, x, len(metrics) - 1 - y, row)
    ax.set_xlim(-0.5, len(failures) - 0.5)
    ax.set_ylim(-0.5, len(metrics) - 0.5)
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(failures)), [human(f) for f in failures], rotation=25, ha="left")
    several = len({p for _, p in metrics}) > 1
    names = [f"{_name(m)} · {p}" if several else _name(m) for m, p in reversed(metrics)]
    ax.set_yticks(range(len(metrics)), names)
    ax.tick_params(length=0, colors=INK, labelsize=7.5)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return wrap(
        figure,
        key=f"{section}-selfcheck",
        title="What these metrics can see",
        look_for="Each metric was shown cohorts spoiled on purpose: the number is the smallest "
        "strength it saw (darker is sharper), a dot means blind, a frame that it claims to see it. "
        "Measured once with this version, on phantoms and patches like these, not in this run.",
        n=f"{len(mine)} planted failures",
        data={k: [r.get(k) for r in mine] for k in
              ("population", "metric", "failure", "declared", "smallest_seen", "alarm")},
        wide=True,
    )  # fmt: skip


def _cell(ax: Any, x: int, y: int, row: dict[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    seen = row.get("smallest_seen")
    corner, size = (x - 0.46, y - 0.42), (0.92, 0.84)
    if seen is not None:
        ax.add_patch(Rectangle(corner, *size, color=FLOOR, alpha=0.2 + 0.5 * (1 - float(seen)),
                               linewidth=0))  # fmt: skip
    ax.add_patch(Rectangle(corner, *size, fill=False, linewidth=1.2 if row["declared"] else 0.4,
                           edgecolor=INK if row["declared"] else LINE))  # fmt: skip
    text = f"{seen:g}" if seen is not None else "·"
    ax.text(x, y, text, ha="center", va="center", fontsize=7, color=INK if seen else MUTED)


def _name(metric: str) -> str:
    name, _, variant = metric.partition("[")
    words = human(name.split(".", 1)[-1])
    return f"{words}, {variant_words(variant.rstrip(']'))}" if variant else words
