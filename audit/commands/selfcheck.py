"""``voxaudit selfcheck``: what each metric sees, on planted failures."""

from pathlib import Path

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("selfcheck")(run)


def run(
    only: list[str] = typer.Option(
        ["fidelity.*", "diversity.*"], "--only", help="Globs of metrics."
    ),
    population: list[str] = typer.Option(
        ["thorax", "heart"], "--population", help="Phantom population."
    ),
    failure: list[str] = typer.Option([], "--failure", help="Planted failure; all by default."),
    subjects: int = typer.Option(24, help="Subjects a cohort."),
    extractor: list[str] = typer.Option(
        ["intensity"], "--extractor", help="Feature network; training ones take minutes."
    ),
    patches_of: Path | None = typer.Option(None, help="A real volume to cut patches of."),
    seed: int = typer.Option(0, help="Of populations and failures."),
    out: Path | None = typer.Option(None, help="Also write the matrix as Markdown."),
    as_json: bool = JsonFlag,
) -> None:
    """Plant known failures at three strengths and print what every metric sees.

    Exits 1 where a metric misses a failure that it declares.
    """
    from audit.selfcheck import document, missed, selfcheck

    rows = selfcheck(
        only=only,
        populations=population,
        failures=failure or None,
        subjects=subjects,
        seed=seed,
        patches_of=patches_of,
        extractors=extractor,
    )
    if out is not None:
        out.write_text(document(rows, subjects=subjects), encoding="utf-8")
    if as_json:
        print_json([row.as_dict() for row in rows])
    else:
        print_table(
            [row.as_dict() for row in rows],
            ["population", "metric", "failure", "declared", "honest", "smallest_seen", "monotone"],
        )
    if missed(rows):
        raise typer.Exit(1)
