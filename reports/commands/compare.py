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
    from audit.compare import compare, comparison_frame, open_runs, worst_first
    from audit.result import write_text

    opened = open_runs(runs)
    rows = compare(opened)
    if md is not None or html is not None:
        from reports import comparison

        if md is not None:
            write_text(md, comparison.render_comparison(rows, opened[0].name))
        if html is not None:
            write_text(html, comparison.render_comparison_html(rows, opened[0].name))
    if csv is not None:
        write_text(csv, comparison_frame(rows).to_csv(index=False))
    if as_json:
        print_json([r.as_dict() for r in rows])
    else:
        columns = ["metric", "run", "baseline", "value", "harm", "low", "high", "word", "note"]
        shared = [r for r in worst_first(rows) if None not in (r.baseline, r.value)]
        print_table([r.as_dict() for r in shared], columns)
        if len(shared) < len(rows):
            print(
                f"{len(rows) - len(shared)} numbers that a run lacks are left out; --json has all"
            )
    if fail_on_worse and any(r.word == "worse" for r in rows):
        raise typer.Exit(1)
