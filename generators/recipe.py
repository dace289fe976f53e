"""Recipe: everything that decides a training, as one YAML file.

Every published configuration is a named recipe in ``generators/presets``; each family has a
``-tiny`` one that two CPU cores train in about two minutes.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.errors import BadInput, did_you_mean
from audit.volume import Spacing

PRESETS = Path(__file__).parent / "presets"

M = TypeVar("M", bound=BaseModel)


class Settings(BaseModel):
    """Base of what is read from YAML: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Settings):
    """How cases become tensors.

    Attributes:
        shape: Grid (t, z, y, x); from the training cohort where not given.
        spacing_mm: Voxel size (z, y, x); from the training cohort where not given.
        window: Intensities mapped to [-1, 1]; from the training cohort where not given.
        structures: Label names that become mask channels, in this order; none means
            unconditional.
        class_labels: Whether ``Case.group`` becomes the class label.
        rotate_degrees: Largest random rotation about each axis (first stage).
        rotate_probability: How often a volume is rotated.
        flip_axis: Axis of the random flip (first stage).
        flip_probability: How often a volume is flipped.
        crop: Random crop (z, y, x) that the first stage trains on; None for whole volumes.
        workers: Processes that load data; 0 loads in the training process.
    """

    shape: tuple[int, int, int, int] | None = None
    spacing_mm: Spacing | None = None
    window: tuple[float, float] | None = None
    structures: tuple[str, ...] = ()
    class_labels: bool = False
    rotate_degrees: float = 0.0
    rotate_probability: float = 0.2
    flip_axis: Literal["x", "y", "z"] | None = None
    flip_probability: float = 0.5
    crop: tuple[int, int, int] | None = None
    workers: int = Field(0, ge=0)


class Optimization(Settings):
    """What all stages share.

    Attributes:
        epochs: Passes over the cohort; this or ``steps``.
        steps: Optimizer steps.
        batch_size: Volumes per optimizer step, over all processes.
        accumulate: Micro-batches that one process splits its share into.
        learning_rate: Peak of AdamW.
        weight_decay: Of AdamW.
        schedule: ``constant``, ``exponential`` (``gamma`` per epoch) or ``cosine`` (to ``floor``).
        gamma: Factor per epoch of ``exponential``.
        warmup_epochs: Linear warm-up.
        floor: Last learning rate of ``cosine`` as a share of the peak.
        gradient_clip: Largest norm of the gradient; None does not clip.
        ema_decay: Of the averaged weights; None keeps none.
        precision: Autocast: ``no``, ``bf16`` or ``fp16``.
        gradient_checkpointing: Recompute activations to save memory.
        checkpoint_every: Steps between checkpoints.
    """

    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=0)
    batch_size: int = Field(1, ge=1)
    accumulate: int = Field(1, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["constant", "exponential", "cosine"] = "constant"
    gamma: float = 0.999
    warmup_epochs: float = Field(0.0, ge=0)
    floor: float = 0.01
    gradient_clip: float | None = Field(None, gt=0)
    ema_decay: float | None = Field(None, gt=0, lt=1)
    precision: Literal["no", "bf16", "fp16"] = "no"
    gradient_checkpointing: bool = False
    checkpoint_every: int = Field(500, ge=1)

    def total_steps(self, cases: int) -> int:
        """Optimizer steps for a cohort of this size."""
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise BadInput("a stage has neither 'epochs' nor 'steps'", "one of them")
        return self.epochs * self.steps_per_epoch(cases)

    def steps_per_epoch(self, cases: int) -> int:
        """Optimizer steps in one pass; the last batch may wrap into the next pass."""
        return max(1, -(-cases // self.batch_size))


class Stage1(Optimization):
    """First stage: L1 + regularization + perceptual + adversarial + spectral.

    Attributes:
        discriminator_learning_rate: Of the patch discriminator.
        regularization_weight: Of the codebook loss, or of the KL divergence.
        quantize_after: Steps before quantization sets in, with codes drawn from the encodings of
            then; 0 quantizes with random codes from the start, as the official scripts do. In a
            short training random codes collapse onto a few.
        perceptual_weight: 0 for none.
        perceptual_weights: Local file with the perceptual network's weights.
        adversarial_weight: 0 for none.
        adversarial_warmup_epochs: Epochs before the adversarial loss sets in.
        discriminator_channels: Width of the patch discriminator.
        discriminator_layers: Depth of the patch discriminator.
        spectral_weight: Of the Jukebox loss on Fourier amplitudes; 0 for none.
    """

    discriminator_learning_rate: float = Field(1e-4, gt=0)
    regularization_weight: float = 1.0
    quantize_after: int = Field(0, ge=0)
    perceptual_weight: float = 0.0
    perceptual_weights: Path | None = None
    adversarial_weight: float = 0.0
    adversarial_warmup_epochs: float = 0.0
    discriminator_channels: int = 64
    discriminator_layers: int = 3
    spectral_weight: float = 0.0


class Denoiser(Optimization):
    """Denoiser or adapter: Smooth-L1 on what the schedule predicts.

    Attributes:
        condition_dropout: How often the whole condition is dropped.
        channel_dropout: How often each mask channel is dropped.
        picture_every: Steps between sample pictures in TensorBoard; 0 for none.
        keep_every: Steps between generators that are kept as they are then, under
            ``checkpoints/``, to be audited over the training; 0 keeps none.
        sharded: Whether the processes of ``torchrun`` split weights, gradients, optimizer and
            averages (FSDP) instead of holding all of them each (DDP). Denoiser only; no pictures
            are drawn then.
    """

    condition_dropout: float = Field(0.1, ge=0, le=1)
    channel_dropout: float = Field(0.0, ge=0, le=1)
    picture_every: int = Field(500, ge=0)
    keep_every: int = Field(0, ge=0)
    sharded: bool = False


class Sampling(Settings):
    """How volumes are drawn unless asked otherwise.

    Attributes:
        sampler: Name of the solver.
        steps: Denoiser calls per volume.
        guidance: Classifier-free guidance scale; 1 is none.
        conditioning_scale: Strength of the adapter.
        batch_size: Volumes denoised together.
        memory_gb: Memory that encoding and decoding may use; None decodes in one piece.
        precision: Autocast of the denoiser.
        compile: Whether to ``torch.compile`` the denoiser.
    """

    sampler: str = "ddim"
    steps: int = Field(50, ge=1)
    guidance: float = 1.0
    conditioning_scale: float = 1.0
    batch_size: int = Field(1, ge=1)
    memory_gb: float | None = Field(None, gt=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    compile: bool = False


class Recipe(Settings):
    """One training, complete.

    Attributes:
        family: Generator under ``generators/models``.
        description: One line for ``voxaudit list``.
        source: Paper or repository the numbers come from.
        model: The family's own configuration.
        data: How cases become tensors.
        stage1: First stage.
        denoiser: Denoiser.
        adapter: Adapter on the frozen denoiser; None where the model has none.
        sampling: How volumes are drawn.
        tensorboard: Whether to log for TensorBoard.
    """

    family: str
    description: str = ""
    source: str = ""
    model: dict[str, Any] = Field(default_factory=dict)
    data: Data = Data()
    stage1: Stage1
    denoiser: Denoiser
    adapter: Denoiser | None = None
    sampling: Sampling = Sampling()
    tensorboard: bool = True


def preset_names() -> tuple[str, ...]:
    """All named recipes, sorted."""
    return tuple(sorted(file.stem for file in PRESETS.glob("*.yaml")))


def read_recipe(source: str | Path | Recipe) -> Recipe:
    """A recipe from a preset's name, a YAML file, or itself.

    A file may say ``preset: NAME`` and change single keys of it.

    Raises:
        BadInput: No such preset or file, or keys that do not exist.
    """
    if isinstance(source, Recipe):
        return source
    return parse(Recipe, recipe_tree(source), "the recipe")


def recipe_tree(source: str | Path | dict[str, Any]) -> dict[str, Any]:
    """What a preset, file or mapping says, presets resolved, not yet validated."""
    if isinstance(source, dict):
        base = source.get("preset")
        changes = {k: v for k, v in source.items() if k != "preset"}
        return merged(recipe_tree(str(base)), changes) if base else changes
    if isinstance(source, str) and source in preset_names():
        return recipe_tree(read_yaml(PRESETS / f"{source}.yaml"))
    file = Path(source)
    if not file.is_file():
        raise BadInput(
            f"'{file.name}' is neither a preset nor a file",
            did_you_mean(str(source), preset_names()),
        )
    return recipe_tree(read_yaml(file))


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with some of them replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def parse(kind: type[M], tree: Any, what: str) -> M:
    """Validate settings.

    Raises:
        BadInput: With the key, what it must be and, for an unknown one, what was meant.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise BadInput(f"{what}: '{where}': {first['msg']}") from error
        known = _keys_beside(kind, first["loc"])
        raise BadInput(
            f"{what} has the unknown key '{where}'", did_you_mean(str(first["loc"][-1]), known)
        ) from error


def _keys_beside(kind: type[BaseModel], place: tuple[int | str, ...]) -> tuple[str, ...]:
    for part in place[:-1]:
        field = kind.model_fields.get(str(part))
        options = [field.annotation, *get_args(field.annotation)] if field else []
        inner = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if inner:
            kind = inner[0]
    return tuple(kind.model_fields)


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        BadInput: It is not YAML, or no mapping.
    """
    import yaml

    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{file.name} is not valid YAML", "a mapping of settings") from error
    if not isinstance(tree, dict):
        raise BadInput(f"{file.name} holds no settings", "a mapping such as 'family: ldm'")
    return tree
