"""The file that ``voxaudit train -c`` reads: which cohort, which recipe, where to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.cohort import Cohort, read_cohort
from audit.errors import BadInput
from audit.footprint import energy_of
from audit.ledger import open_ledger
from generators.protocol import GENERATORS
from generators.recipe import Recipe, parse, read_yaml, recipe_tree


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training to run.

    Attributes:
        recipe: All settings.
        cohort: Training cases.
        out: Folder of the generator.
        seed: Seed of everything random.
    """

    recipe: Recipe
    cohort: Cohort
    out: Path
    seed: int


def read_train_file(
    file: Path, *, preset: str | None = None, out: Path | None = None, seed: int | None = None
) -> Job:
    """Read a training file; paths in it are relative to it.

    Raises:
        BadInput: No such file, unknown keys, or no training cohort.
    """
    if not file.is_file():
        raise BadInput(f"no file '{file.name}'", "a training file", "See `voxaudit init`")
    tree = read_yaml(file)
    cohort = tree.pop("train", None)
    stated_out, stated_seed = tree.pop("out", None), tree.pop("seed", 0)
    if not isinstance(cohort, str):
        raise BadInput(f"{file.name} names no training cohort", "train: FOLDER or CSV")
    if not isinstance(stated_seed, int):
        raise BadInput(f"seed is '{stated_seed}'", "a whole number")
    if preset is not None:
        tree["preset"] = preset
    place = out or (file.parent / stated_out if stated_out else None)
    if place is None:
        raise BadInput("no folder to write to", "out in the file", "Give --out")
    return Job(
        recipe=parse(Recipe, recipe_tree(tree), file.name),
        cohort=read_cohort(file.parent / cohort, role="train"),
        out=place,
        seed=stated_seed if seed is None else seed,
    )


def run_training(job: Job) -> dict[str, Any]:
    """Train, save, and say what each phase took."""
    generator = GENERATORS.load(job.recipe.family)(job.recipe)
    with open_ledger(job.out) as ledger:
        generator.fit(job.cohort, folder=job.out, seed=job.seed, ledger=ledger)
    return {
        "out": str(job.out),
        "family": job.recipe.family,
        "record": getattr(generator, "record", {}),
        "phases": [
            {
                "phase": r.phase,
                "seconds": r.duration_s,
                "steps": r.work.get("steps"),
                "volumes": r.work.get("volumes"),
                "energy_kwh": energy_of([r]),
            }
            for r in ledger.records()
        ],
    }
