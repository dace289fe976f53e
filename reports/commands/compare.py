"""``voxaudit compare A B [C...]``: runs side by side, with intervals."""

from pathlib import Path

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("compare")(compare_runs)


def compare_runs(
    runs: list[Path] = typer.Argument(help="Two or more run folders; the first is compared with."),
    md: Path | None = typer.Option(None, help="Write Markdown."),
    html: Path | None = typer.Option(None, help="Write a page with a forest plot."),
    csv: Path | None = typer.Option(None, help="Write CSV."),
    fail_on_worse: bool = typer.Option(False, help="Exit 1 if anything is shown to be worse."),
    as_json: bool = JsonFlag,
) -> None:
    """Compare every number of two or more runs, paired where their cases pair."""
    from audit.compare import compare, comparison_frame, open_runs
    from audit.result import write_text
    from reports import comparison

    opened = open_runs(runs)
    rows = compare(opened)
    first, notes = opened[0].name, comparison.unfinished(opened)
    if md is not None:
        write_text(md, comparison.render_comparison(rows, first, notes))
    if html is not None:
        write_text(html, comparison.render_comparison_html(rows, first, notes))
    if csv is not None:
        write_text(csv, comparison_frame(rows).to_csv(index=False))
    if as_json:
        print_json([r.as_dict() for r in rows])
    else:
        columns = ["metric", "run", "baseline", "value", "harm", "low", "high", "word", "note"]
        shared = comparison.in_both(rows)
        print_table([r.as_dict() for r in shared], columns)
        if len(shared) < len(rows):
            print(
                f"{len(rows) - len(shared)} numbers that a run lacks are left out; --json has all"
            )
        for note in notes:
            print(note)
    if fail_on_worse and any(r.word == "worse" for r in rows):
        raise typer.Exit(1)
