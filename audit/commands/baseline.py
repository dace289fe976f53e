"""``voxaudit baseline accept | show | calibrate``: numbers that a reviewer reads in git."""

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
    group.command("calibrate")(calibrate)
    app.add_typer(group, name="baseline")


def accept(
    runs: list[Path] = typer.Argument(help="Run folders: the same audit, one per seed."),
    reason: str = typer.Option(..., help="Why these numbers are fine; a reviewer reads it."),
    metric: list[str] = typer.Option(["*"], help="Metrics to accept, as in gates.yaml; repeat."),
    file: Path = typer.Option(FILE, help="Baseline file, kept in git."),
    by: str = typer.Option("", help="Who accepts; your login name if absent."),
    override_safety: bool = typer.Option(False, help="Accept although an absolute gate fails."),
) -> None:
    """Accept the numbers of one or more runs as the baseline. Never in CI."""
    from audit import baseline
    from audit.result import load_result
    from audit.run_path import find_run

    if os.environ.get("CI", "").lower() in ("1", "true"):
        raise BadInput(
            "this runs in CI", "a person at a desk", "Accept locally and commit the file"
        )
    old = baseline.read_baseline(file) if file.is_file() else None
    new = baseline.accept(
        [load_result(find_run(run)) for run in runs],
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


def calibrate(
    runs: list[Path] = typer.Argument(None, help="Ten or more runs that differ in seed only."),
    file: Path = typer.Option(FILE, help="Baseline file to complete."),
    config: Path | None = typer.Option(
        None, "-c", "--config", help="Print the commands that make such runs; start none."
    ),
    replicates: int = typer.Option(20, min=10, help="How many runs, with --config."),
) -> None:
    """Measure the noise between A/A runs; ``margin: auto`` is three of its standard deviations."""
    from audit import baseline
    from audit.result import load_result
    from audit.run_path import find_run

    if config is not None:
        from audit.gates.aa_runs import aa_commands

        print("\n".join(aa_commands(config, replicates, file)))
        return
    if not runs:
        raise BadInput("no runs were given", "ten or more", "-c audit.yaml prints how to make them")
    new = baseline.calibrate(
        baseline.read_baseline(file), [load_result(find_run(run)) for run in runs]
    )
    baseline.write_baseline(new, file)
    done = sum(m.sd_aa is not None for m in new.metrics.values())
    print(f"{done} of {len(new.metrics)} metrics are calibrated in {file}")
