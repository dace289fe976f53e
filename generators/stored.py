"""Generators that give out stored volumes: in which order, and how they are saved."""

from pathlib import Path

import numpy as np

from audit.cohort import Cohort, write_cohort
from audit.errors import BadInput
from audit.result import write_text
from generators.seeds import derive_seed

CASES = "cases"


def replayed(index: int, count: int, seed: int) -> int:
    """Which of ``count`` cases stands at a place: a permutation per round."""
    turn, place = divmod(index, count)
    rng = np.random.default_rng(derive_seed(seed, "replay", turn))
    return int(rng.permutation(count)[place])


def save_cases(cohort: Cohort, folder: str | Path, family: str) -> None:
    """Copy the volumes and name the family."""
    write_cohort(cohort, Path(folder) / CASES)
    write_text(Path(folder) / "generator.json", f'{{"family": "{family}"}}\n')


def given(cohort: Cohort | None, expected: str, remedy: str) -> Cohort:
    """The cohort, if there is one.

    Raises:
        BadInput: There is none yet.
    """
    if cohort is None:
        raise BadInput("this generator has no volumes yet", expected, remedy)
    return cohort
