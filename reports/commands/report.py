"""``voxaudit report``: render a run as HTML, Markdown, JUnit, model card and tables."""

from pathlib import Path

import typer

from audit.errors import BadInput


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("report")(report)


def report(
    run: Path = typer.Argument(help="Run folder, or runs/latest."),
    images: str = typer.Option("redacted", help="none, redacted or all (internal use only)."),
    md: Path | None = typer.Option(None, help="Also append Markdown to this file."),
    junit: Path | None = typer.Option(None, help="Also write the verdicts as JUnit XML."),
    card: Path | None = typer.Option(None, help="Also write a data sheet of the cohort."),
    tables: Path | None = typer.Option(None, help="Also write CSV and Parquet to this folder."),
    max_mb: float = typer.Option(15.0, help="Hard cap on the HTML file."),
    open_it: bool = typer.Option(False, "--open", help="Open it in the browser."),
) -> None:
    """Render report.html from a run folder, finished or not."""
    from audit.run_path import find_run
    from reports.html import write_report

    if images not in ("none", "redacted", "all"):
        raise BadInput(f"--images got '{images}'", "none, redacted or all")
    run = find_run(run)
    path = write_report(run, images=images, max_mb=max_mb)  # type: ignore[arg-type]
    print(path)
    for written in _others(run, md=md, junit=junit, card=card, tables=tables):
        print(written)
    if open_it:
        typer.launch(str(path))


def _others(
    run: Path, *, md: Path | None, junit: Path | None, card: Path | None, tables: Path | None
) -> list[Path]:
    from audit.result import load_result, write_text

    result = load_result(run)
    if md is not None:
        from reports.markdown import render_markdown

        with md.open("a", encoding="utf-8") as file:
            file.write(render_markdown(result))
    if junit is not None:
        from reports.junit import render_junit

        write_text(junit, render_junit(result))
    if card is not None:
        from reports.card import render_card

        write_text(card, render_card(result))
    written = [path for path in (md, junit, card) if path is not None]
    if tables is not None:
        from reports.export import write_tables

        written += write_tables(run, tables)
    return written
