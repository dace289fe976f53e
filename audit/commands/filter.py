"""``voxaudit filter``: the synthetic cohort without the cases that resemble a patient too much."""

from pathlib import Path

import typer

from audit.cli import JsonFlag, print_json, print_table
from audit.errors import BadInput


def register(app: typer.Typer) -> None:
    app.command("filter")(filter_command)


def filter_command(
    run: Path = typer.Argument(help="Run folder with cases.csv, or runs/latest."),
    out: Path = typer.Option(..., "--out", help="Where the kept cohort is written."),
    synthetic: Path | None = typer.Option(
        None, "--synthetic", help="The cohort that was audited; RUN/synthetic if absent."
    ),
    suspicious: bool = typer.Option(
        False, "--suspicious", help="Drop every case with p <= 0.05, 1 in 20 of novel ones too."
    ),
    as_json: bool = JsonFlag,
) -> None:
    """Write the synthetic cohort without flagged cases; say the share and the cost in diversity.

    What is left is not thereby free of copies: only what the search can find is gone.
    """
    from audit.cohort import read_cohort, write_cohort
    from audit.copies.filter import diversity, flagged_ids
    from audit.run_path import find_run

    run = find_run(run)
    source = synthetic if synthetic is not None else run / "synthetic"
    if not source.exists():
        raise BadInput(
            "the audited cohort is not in the run folder", "its path", "Give it with --synthetic"
        )
    cohort = read_cohort(source, role="synthetic")
    flagged = flagged_ids(run, suspicious=suspicious)
    unknown = flagged - set(cohort.ids)
    if unknown:
        raise BadInput(
            f"{len(unknown)} flagged cases are not in this cohort", "the cohort that was audited"
        )
    kept = cohort.subset([i for i, name in enumerate(cohort.ids) if name not in flagged])
    if len(kept) == 0:
        raise BadInput("every case is flagged", "something to keep", "Train the generator again")
    write_cohort(iter(kept), out)
    row = {
        "cases": len(cohort),
        "dropped": len(flagged),
        "share_dropped": len(flagged) / len(cohort),
        "diversity_before": diversity(cohort),
        "diversity_after": diversity(kept),
    }
    if as_json:
        print_json(row)
    else:
        print_table([row], list(row))
