"""Course: what all stages of one training share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.cache import key_of
from audit.cohort import Cohort
from audit.ledger import Ledger
from generators.family import Family
from generators.grid import Grid
from generators.latent import LatentModel
from generators.recipe import Recipe


@dataclass(kw_only=True)
class Course:
    """What all stages of one training share.

    Attributes:
        recipe: All settings.
        family: How the family's model is built and its tensors ordered.
        model: The model in training.
        cohort: Training cases.
        grid: From cases to tensors.
        folder: Checkpoints, latents and logs.
        seed: Seed of everything random.
        ledger: Where time and work are booked.
        cpu: Whether to stay on the CPU although there is a GPU.
        on_step: Called after every step with stage and step.
        keep: Called with stage and steps done where a generator is to be kept.
        record: What the run record says of the training.
    """

    recipe: Recipe
    family: Family
    model: LatentModel
    cohort: Cohort
    grid: Grid
    folder: Path
    seed: int
    ledger: Ledger
    cpu: bool = False
    on_step: Callable[[str, int], None] | None = None
    keep: Callable[[str, int], None] | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def key(self, stage: str) -> str:
        """Hash of all that decides a stage: checkpoints of another one are not continued."""
        neutral = {"keep_every", "sharded"}  # they decide no weight
        settings = self.recipe.model_dump(
            mode="json", exclude={"denoiser": neutral, "adapter": neutral}
        )
        ignored = {"description", "source", "sampling", "tensorboard"}
        later = {"stage1": {"denoiser", "adapter"}, "denoiser": {"adapter"}}.get(stage, set())
        kept = {k: v for k, v in settings.items() if k not in ignored | later}
        return key_of(
            stage=stage,
            settings=kept,
            preprocessing=self.grid.preprocessing.as_params(),
            cohort=self.cohort.hash,
            seed=self.seed,
        )
