"""``voxaudit train``: train a generator from a configuration."""

from pathlib import Path

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    config: Path = typer.Option(..., "-c", "--config", help="Training file (YAML)."),
    out: Path | None = typer.Option(None, "--out", help="Folder of the generator."),
    preset: str | None = typer.Option(None, "--preset", help="Preset in place of the file's."),
    seed: int | None = typer.Option(None, "--seed", help="Seed in place of the file's."),
    as_json: bool = JsonFlag,
) -> None:
    """Train a generator; the same command continues an interrupted training.

    The file says `train: FOLDER`, `preset: NAME` (or the keys of a recipe) and optionally `out`
    and `seed`. Start it with torchrun for several GPUs.
    """
    from generators.train_file import read_train_file, run_training

    job = read_train_file(config, preset=preset, out=out, seed=seed)
    summary = run_training(job)
    if as_json:
        print_json(summary)
    else:
        print_table(summary["phases"], ["phase", "seconds", "steps", "volumes", "energy_kwh"])
        print(f"Generator: {summary['out']}")
        print(f"Next: voxaudit sample {summary['out']} --n 64 --seed 1 --out samples")
