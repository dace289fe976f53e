"""``voxaudit sample``: draw volumes from a trained generator."""

from pathlib import Path
from typing import Any

import typer

from audit.cli import JsonFlag, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sample)


def sample(
    folder: Path = typer.Argument(..., help="Folder of a trained generator."),
    n: int = typer.Option(..., "--n", min=1, help="How many volumes."),
    seed: int = typer.Option(0, "--seed", help="Volume i depends on the seed and i only."),
    out: Path = typer.Option(..., "--out", help="Folder of the samples."),
    conditions: Path | None = typer.Option(None, "--conditions", help="Requested masks."),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Denoiser calls per volume."),
    sampler: str | None = typer.Option(None, "--sampler", help="ddpm, ddim or dpm-solver++."),
    guidance: float | None = typer.Option(None, "--guidance", help="1 is none."),
    batch_size: int | None = typer.Option(None, "--batch-size", min=1),
    memory_gb: float | None = typer.Option(None, "--memory-gb", help="Decode in exact tiles."),
    checkpoints: bool = typer.Option(
        False, "--checkpoints", help="From each generator kept in training, to OUT/STAGE-STEP."
    ),
    as_json: bool = JsonFlag,
) -> None:
    """Draw volumes as compressed NIfTI; the same command continues an interrupted run."""
    from audit.cohort import read_cohort
    from audit.ledger import open_ledger
    from audit.ledger_lines import SAMPLES
    from generators.kept import kept_generators
    from generators.library import load
    from generators.sampling import sample_to_folder

    settings: dict[str, Any] = {
        "steps": steps,
        "sampler": sampler,
        "guidance": guidance,
        "batch_size": batch_size,
        "memory_gb": memory_gb,
    }
    masks = read_cohort(conditions, role="conditions") if conditions else None
    changes = {k: v for k, v in settings.items() if v is not None}
    places = {p: out / p.name for p in kept_generators(folder)} if checkpoints else {folder: out}
    made = []
    for place, target in places.items():
        generator = load(place)
        with open_ledger(target / SAMPLES) as ledger:  # where `score` finds it
            manifest = sample_to_folder(
                generator, n, target, seed=seed, conditions=masks, ledger=ledger, **changes
            )
        made.append(str(manifest))
    if as_json:
        print_json({"manifest": made if checkpoints else made[0], "n": n, "seed": seed})
    else:
        print("\n".join(f"Samples: {manifest}" for manifest in made))
