"""``voxaudit selfcheck``: what each metric sees, on planted failures."""

from pathlib import Path

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("selfcheck")(run)


def run(
    only: list[str] = typer.Option(
        ["fidelity.*", "diversity.*", "adherence.*", "anatomy.*", "cardiac.*"],
        "--only",
        help="Globs of metrics.",
    ),
    full: bool = typer.Option(
        False,
        "--full",
        help="Every metric on every failure at three strengths with two extractors: an hour. "
        "Without it: the failures that each metric declares, at full strength.",
    ),
    population: list[str] = typer.Option(
        ["thorax", "heart"], "--population", help="Phantom population."
    ),
    failure: list[str] = typer.Option([], "--failure", help="Planted failure; all by default."),
    subjects: int = typer.Option(24, help="Subjects a cohort."),
    extractor: list[str] = typer.Option(
        [], "--extractor", help="Feature network; intensity, and with --full ssl3d, by default."
    ),
    patches_of: Path | None = typer.Option(None, help="A real volume to cut patches of."),
    seed: int = typer.Option(0, help="Of populations and failures."),
    out: Path | None = typer.Option(None, help="Also write the matrix as Markdown."),
    as_json: bool = JsonFlag,
) -> None:
    """Plant known failures and print what every metric sees; a stopped run goes on where it was.

    Exits 1 where a metric misses a failure that it declares.
    """
    from audit.selfcheck import STRENGTHS, document, missed, selfcheck

    rows = selfcheck(
        only=only,
        full=full,
        populations=population,
        failures=failure or None,
        strengths=STRENGTHS if full else STRENGTHS[-1:],
        subjects=subjects,
        seed=seed,
        patches_of=patches_of,
        extractors=extractor or (["intensity", "ssl3d"] if full else ["intensity"]),
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
