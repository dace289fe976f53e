"""LatentGenerator: one way to train, sample, save and load all latent diffusion models.

A family's file (``generators/models/<name>.py``) says how its model is built and how its tensors
are ordered; everything else is here and in ``generators.training``:

    FAMILY = Family(name="voldit", config=VolDiTConfig, build=build, to_model=..., ...)

    class VolDiT(LatentGenerator):
        family = FAMILY

    MODEL = VolDiT
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from audit.cache import key_of
from audit.cohort import Case, Cohort
from audit.errors import BadInput
from audit.ledger import Ledger
from audit.result import write_text
from audit.volume import Volume
from generators.card import Card, load_weights, of_grid, read_card, save_weights
from generators.family import Family
from generators.grid import Grid, fit_grid
from generators.kept import KEPT, Kept
from generators.latent import LatentModel
from generators.recipe import Recipe, parse, read_recipe
from generators.seeds import seeded_globally
from generators.training.course import Course

if TYPE_CHECKING:
    from audit.copies.membership import MembershipTarget


class LatentGenerator:
    """A latent diffusion model as a ``VolumeGenerator``.

    Attributes:
        family: What differs between the families.
        recipe: All settings; the family's tiny preset where not given.
        grid: From cases to tensors; None before ``fit``.
        model: The networks; None before ``fit``.
    """

    family: ClassVar[Family]

    def __init__(self, recipe: str | Path | Recipe | None = None) -> None:
        self.recipe = self._checked(recipe or f"{self.family.name}-tiny")
        self.grid: Grid | None = None
        self.model: LatentModel | None = None
        self.config: Any = None
        self._latent_shape: tuple[int, ...] = ()
        self.seed = 0
        self.train_hash = ""
        self.record: dict[str, Any] = {}

    def fit(
        self,
        cohort: Cohort,
        *,
        recipe: str | Path | Recipe | None = None,
        folder: Path | None = None,
        seed: int = 0,
        ledger: Ledger | None = None,
        structures: Sequence[str] | None = None,
        cpu: bool = False,
        on_step: Callable[[str, int], None] | None = None,
    ) -> None:
        """Train all stages; a repeated call with the same folder continues where it stopped.

        Args:
            cohort: Training cases.
            recipe: Preset, YAML file or recipe in place of the one given to the constructor.
            folder: Checkpoints, latents, logs and the finished generator; None keeps nothing.
            seed: Seed of everything random.
            ledger: Where phases are booked.
            structures: Label names to condition on, in place of the recipe's.
            cpu: Whether to stay on the CPU although there is a GPU.
            on_step: Called after every step with stage and step.

        Raises:
            BadInput: Recipe and cohort do not fit.
            RunBroken: A loss is not finite.
        """
        from generators.training.stages import train_all

        if recipe is not None:
            self.recipe = self._checked(recipe)
        if structures is not None:
            data = self.recipe.data.model_copy(update={"structures": tuple(structures)})
            self.recipe = self.recipe.model_copy(update={"data": data})
        self.build(cohort, seed=seed)
        with ExitStack() as stack:
            place = folder or Path(stack.enter_context(TemporaryDirectory()))
            course = Course(
                recipe=self.recipe,
                family=self.family,
                model=self._model,
                cohort=cohort,
                grid=self._grid,
                folder=Path(place),
                seed=seed,
                ledger=ledger or Ledger(),
                cpu=cpu,
                on_step=on_step,
            )
            if folder is not None:
                course.keep = partial(self._keep, course)
            train_all(course)
            self.record = course.record
            if folder is not None:
                self.save(Path(folder))

    def _keep(self, course: Course, stage: str, done: int) -> None:
        """Save the generator as it is in the middle of its training."""
        settings = getattr(course.recipe, stage)
        course.ledger.settle()
        spent = [r.duration_s for r in course.ledger.records() if r.phase == f"{stage}_train"]
        kept = Kept(
            stage=stage,
            step=done,
            passes=done * settings.batch_size / len(course.cohort),
            train_s=sum(spent),
        )
        self.record = {**course.record, "kept": kept.model_dump()}
        self.save(course.folder / KEPT / f"{stage}-{done:07d}")

    def build(self, cohort: Cohort, *, seed: int = 0) -> None:
        """Decide the grid from a cohort and build the networks with random weights."""
        if len(cohort) == 0:
            raise BadInput("the training cohort is empty", "at least one case")
        config = parse(self.family.config, self.recipe.model, f"model of {self.family.name}")
        self.grid = fit_grid(cohort, self.recipe.data, self.family.multiple(config))
        self.config = self.family.fitted(
            config,
            self.grid.preprocessing.shape,
            len(self.grid.structures),
            len(self.grid.groups),
        )
        with seeded_globally(seed, "weights"):
            self.model = self.family.build(self.config)
        self._latent_shape = ()
        trained_apart = self.model.adapter is not None and not getattr(
            self.model, "denoiser_takes_condition", False
        )
        if trained_apart and self.recipe.adapter is None:
            raise BadInput(
                "the recipe has mask channels but no 'adapter' stage",
                "how long and at which rate to train the adapter",
                "Add 'adapter' to the recipe",
            )
        self.seed, self.train_hash = seed, cohort.hash

    def sample(
        self,
        n: int,
        *,
        seed: int,
        conditions: Cohort | None = None,
        indices: Sequence[int] | None = None,
        ledger: Ledger | None = None,
        **changes: Any,
    ) -> Iterator[Case]:
        """Yield n cases; see ``VolumeGenerator.sample``.

        Args:
            n: Cases.
            seed: Case i depends on ``seed`` and i only.
            conditions: Requested masks.
            indices: Which of the cases to make; all where not given.
            ledger: Where the phases ``sampling`` and ``decoding`` are booked.
            changes: Settings of ``Sampling`` in place of the recipe's.
        """
        from generators.drawing import draw

        settings = self.recipe.sampling
        if changes:
            tree = {**settings.model_dump(), **changes}
            settings = parse(type(settings), tree, "sampling")
        if conditions is None and self._grid.structures:
            raise BadInput(
                "this generator was trained on masks and got no conditions",
                f"label maps with {', '.join(self._grid.structures)}",
                "Give them with --conditions",
            )
        if conditions is not None and not self._grid.structures:
            raise BadInput(
                "conditions were given to an unconditional generator",
                "none",
                "Train with data.structures in the recipe",
            )
        chosen = range(n) if indices is None else indices
        return draw(self, chosen, seed, conditions, settings, ledger or Ledger())

    def identity(self) -> str:
        """What decides the samples beside the seed: a hash of weights and settings."""
        from generators.training.latents import weights_hash

        return key_of(
            weights=weights_hash(self._model),
            scale=float(self._model.scale_factor),
            sampling=self.recipe.sampling.model_dump(exclude={"batch_size", "memory_gb"}),
        )

    def membership_target(self) -> "MembershipTarget":
        """The noise prediction, for ``memorization.membership``; see ``generators.shown``."""
        from generators.shown import show_noise

        return show_noise(self)

    def autoencode(self, volumes: Iterable[Volume]) -> list[Volume]:
        """Volumes through encoder and decoder; see ``generators.shown``."""
        from generators.shown import autoencode

        return autoencode(self, volumes)

    def autoencoder_identity(self) -> str:
        """What decides ``autoencode``: a hash of the first stage, which all checkpoints share."""
        from generators.training.latents import weights_hash

        return weights_hash(self._model.stage1)

    def save(self, folder: Path) -> None:
        """Write ``generator.json`` and ``model.safetensors``; see ``generators.card``."""
        save_weights(self._model, Path(folder))
        card = Card(
            family=self.family.name,
            recipe=self.recipe.model_dump(mode="json"),
            config=self.config.model_dump(mode="json"),
            **of_grid(self._grid),
            latent_shape=self.latent_shape,
            scale_factor=float(self._model.scale_factor),
            seed=self.seed,
            train_hash=self.train_hash,
            record=self.record,
        )
        write_text(Path(folder) / "generator.json", card.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            BadInput: The folder holds no generator, one of another family, or damaged weights.
        """
        card = read_card(Path(folder))
        if card.family != cls.family.name:
            raise BadInput(f"the folder holds a {card.family} generator", f"a {cls.family.name}")
        generator = cls(Recipe.model_validate(card.recipe))
        generator.config = parse(cls.family.config, card.config, "generator.json")
        generator.grid = card.grid
        generator.model = cls.family.build(generator.config)
        load_weights(generator.model, Path(folder))
        generator.model.scale_factor = card.scale_factor
        generator.model.eval()
        generator._latent_shape = card.latent_shape
        generator.seed, generator.train_hash = card.seed, card.train_hash
        generator.record = dict(card.record)
        return generator

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Channels and sizes of a latent."""
        if not self._latent_shape:
            self._latent_shape = self._encoded_shape()
        return self._latent_shape

    def _encoded_shape(self) -> tuple[int, ...]:
        """What encoding gives, on tensors without values: full size takes no time or memory."""
        from torch._subclasses.fake_tensor import FakeTensorMode

        device = next(self._model.parameters()).device
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            image = torch.empty((1, 1, *self._grid.preprocessing.shape), device=device)
            latent = self._model.stage1.encode(self.family.to_model(image))
        return tuple(latent.shape[1:])

    @property
    def _grid(self) -> Grid:
        if self.grid is None:
            raise BadInput("this generator is not trained", "a fitted one", "Call fit or load")
        return self.grid

    @property
    def _model(self) -> LatentModel:
        if self.model is None:
            raise BadInput("this generator is not trained", "a fitted one", "Call fit or load")
        return self.model

    def _checked(self, recipe: str | Path | Recipe) -> Recipe:
        found = read_recipe(recipe)
        if found.family != self.family.name:
            raise BadInput(f"the recipe is for {found.family}", f"one for {self.family.name}")
        return found
