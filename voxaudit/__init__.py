"""The command ``voxaudit``: mounts the commands of the packages; ``run`` and ``demo`` span them."""

import io
import os
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import typer

from audit.cli import guarded, mount, print_table
from audit.progress import is_first_process
from voxaudit.calibrate import calibrate_command


def build_app() -> typer.Typer:
    """All commands in one Typer application."""
    app = typer.Typer(
        name="voxaudit",
        help="Evaluate and audit generators of 3D and 4D medical images.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for package in ("audit.commands", "generators.commands", "reports.commands"):
        mount(app, package)
    # Calibration samples generators, so it joins the audit's group here, where packages meet.
    _group(app, "baseline").command("calibrate")(calibrate_command)
    app.command("run")(_run_command)
    app.command("demo")(_demo_command)
    return app


def _group(app: typer.Typer, name: str) -> typer.Typer:
    """A command group that a package has mounted."""
    found = next(g.typer_instance for g in app.registered_groups if g.name == name)
    assert found is not None
    return found


def _run_command(
    config: Path = typer.Option(Path("audit.yaml"), "-c", "--config", help="Configuration."),
    profile: str = typer.Option(None, help="Profile of the file, such as smoke."),
    change: list[str] = typer.Option([], "--set", help="a.b=value; repeat."),
    max_kwh: float = typer.Option(None, help="Stop cleanly once this much energy is spent."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan and do nothing."),
    checkpoints: bool = typer.Option(
        False, "--checkpoints", help="Audit the generators kept in training too: over-training."
    ),
) -> None:
    """Train, sample, score and report; repeat the command to resume."""
    from audit.config import read_config
    from voxaudit.dry_run import plan, undecidable
    from voxaudit.run import run_all

    if max_kwh is not None:
        change = [*change, f"carbon.max_kwh={max_kwh}"]
    settings = read_config(config, profile=profile, changes=tuple(change))
    if dry_run:
        rows = plan(settings)
        columns = ["generator", "step", "work", "done", "time_s", "disk_mb", "energy_kwh"]
        print_table(rows, [*columns, "emissions_g", "basis"])
        for note in undecidable(settings, config.parent / "gates.yaml"):
            print(note)
        return
    for folder in run_all(settings, checkpoints=checkpoints):
        print(f"report: {folder / 'report.html'}    gate: voxaudit gate {folder}")


def _demo_command(
    out: Path = typer.Option(Path("runs/demo"), help="Where the demo's runs go."),
) -> None:
    """Train, sample and audit on phantoms; show that copying fails the gate. No data needed."""
    from voxaudit.demo import run_demo

    raise typer.Exit(run_demo(out))


def main() -> None:
    """Entry point of the console script."""
    # Before torch and faiss are imported: their two OpenMP runtimes would spin against each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Newer Typer ships its own copy of click: find the base of its usage errors by name.
    usage_error: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

    def command() -> int:
        try:
            outcome = build_app()(standalone_mode=False)
        except typer.Exit as exit_:
            return exit_.exit_code
        except typer.Abort:
            return 130
        except usage_error as error:
            text = " ".join(error.format_message().split())
            sys.stderr.write(f"voxaudit: {text} See `voxaudit --help`.\n")
            return 2
        return outcome if isinstance(outcome, int) else 0

    with nullcontext() if is_first_process() else redirect_stdout(io.StringIO()):
        sys.exit(guarded(command))
