"""``voxaudit baseline accept | show``: numbers that a reviewer reads in git.

``calibrate``, the third of the group, samples generators: it lives in ``voxaudit/calibrate.py``.
"""

import getpass
import os
from pathlib import Path

import typer

from audit.cli import JsonFlag, print_json, print_table
from audit.errors import BadInput

FILE = Path("baselines/baseline.json")


def register(app: typer.Typer) -> None:
    """Mount the group."""
    group = typer.Typer(no_args_is_help=True, help="Accepted baselines for gates.")
    group.command("accept")(accept)
    group.command("show")(show)
    app.add_typer(group, name="baseline")


def accept(
    runs: list[Path] = typer.Argument(
        help="Run folders: the same audit, one per seed. Replicates that a run made come with it."
    ),
    reason: str = typer.Option(..., help="Why these numbers are fine; a reviewer reads it."),
    metric: list[str] = typer.Option(["*"], help="Metrics to accept, as in gates.yaml; repeat."),
    file: Path = typer.Option(FILE, help="Baseline file, kept in git."),
    by: str = typer.Option("", help="Who accepts; your login name if absent."),
    override_safety: bool = typer.Option(False, help="Accept although an absolute gate fails."),
) -> None:
    """Accept the numbers of one or more runs as the baseline. Never in CI."""
    from audit import baseline
    from audit.gates.replicates import replicates_of
    from audit.result import load_result
    from audit.run_path import find_run

    if os.environ.get("CI", "").lower() in ("1", "true"):
        raise BadInput(
            "this runs in CI", "a person at a desk", "Accept locally and commit the file"
        )
    old = baseline.read_baseline(file) if file.is_file() else None
    places = [find_run(run) for run in runs]
    new = baseline.accept(
        [result for run in places for result in (load_result(run), *replicates_of(run))],
        reason=reason,
        old=old,
        patterns=metric,
        by=by or getpass.getuser(),
        override_safety=override_safety,
    )
    baseline.write_baseline(new, file)
    accepted = new.accepted.metrics if new.accepted else ()
    print(f"{len(accepted)} metrics accepted in {file}; review the diff and commit it")


def show(
    file: Path = typer.Argument(FILE, help="Baseline file."), as_json: bool = JsonFlag
) -> None:
    """Print what is accepted, with its noise and how far it drifted from the first value."""
    from audit.baseline import drift_rows, read_baseline

    accepted = read_baseline(file)
    if as_json:
        print_json(accepted.model_dump(mode="json"))
        return
    print_table(
        drift_rows(accepted),
        ["metric", "value", "unit", "better", "runs", "sd_aa", "margin", "anchor", "drift"],
    )
    for decision in accepted.history:
        print(f"{decision.at}  {decision.by}  {decision.reason}")
