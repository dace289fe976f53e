"""``voxaudit selfcheck``: what each metric sees, on planted failures."""

import os
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
        help="Every metric on every failure at three strengths with all extractors at hand, on "
        "real patches too where VOXAUDIT_REAL_DATA names a folder with ct/: 20 minutes, an hour "
        "more with the extra 'radiomics', and hours with 'networks'. Without it: the failures that "
        "each metric declares, at full strength.",
    ),
    population: list[str] = typer.Option(
        ["thorax", "heart"], "--population", help="Phantom population."
    ),
    failure: list[str] = typer.Option([], "--failure", help="Planted failure; all by default."),
    subjects: int = typer.Option(24, help="Subjects a cohort."),
    extractor: list[str] = typer.Option(
        [], "--extractor", help="Feature network; intensity alone, or with --full all at hand."
    ),
    patches_of: Path | None = typer.Option(
        None,
        help="A real volume to cut patches of; with --full the first under VOXAUDIT_REAL_DATA.",
    ),
    seed: int = typer.Option(0, help="Of populations and failures."),
    out: Path | None = typer.Option(None, help="Also write the matrix as Markdown."),
    as_json: bool = JsonFlag,
) -> None:
    """Plant known failures and print what every metric sees; a stopped run goes on where it was.

    Exits 1 where a metric misses a failure that it declares.
    """
    from audit.selfcheck import ASKED_EXTRACTORS, STRENGTHS, document, missed, selfcheck

    extractors = tuple(extractor) or (ASKED_EXTRACTORS if full else ASKED_EXTRACTORS[:1])
    rows = selfcheck(
        only=only,
        full=full,
        populations=population,
        failures=failure or None,
        strengths=STRENGTHS if full else STRENGTHS[-1:],
        subjects=subjects,
        seed=seed,
        patches_of=patches_of or (_real_scan() if full else None),
        extractors=extractors,
    )
    if out is not None:
        out.write_text(document(rows, subjects=subjects, extractors=extractors), encoding="utf-8")
    if as_json:
        print_json([row.as_dict() for row in rows])
    else:
        print_table(
            [row.as_dict() for row in rows],
            ["population", "metric", "failure", "declared", "honest", "smallest_seen", "monotone"],
        )
    if missed(rows):
        raise typer.Exit(1)


def _real_scan() -> Path | None:
    """A scan among the real data that the environment names, if any."""
    from audit.selfcheck import scan_for_patches

    folder = os.environ.get("VOXAUDIT_REAL_DATA")
    return scan_for_patches(Path(folder)) if folder else None
