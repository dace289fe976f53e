"""Denoiser and adapter: Smooth-L1 between prediction and what the schedule asks for."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from audit.errors import BadInput
from generators.recipe import Denoiser, Recipe
from generators.seeds import Draw, generator_for
from generators.training.batches import Item, Items
from generators.training.course import Course
from generators.training.latents import read_latent
from generators.training.loop import Losses, Stage, Trainee, run_stage
from generators.training.memory import recompute_blocks


class Denoise(torch.nn.Module):
    """Calls a model's denoiser through ``forward``, so that DDP sees it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None,
        condition: torch.Tensor | None,
    ) -> torch.Tensor:
        """The model's prediction."""
        return self.model.denoise(noisy, timesteps, labels=labels, condition=condition)


def train_denoiser(course: Course, keys: list[str]) -> None:
    """Train the denoiser on stored latents; what was split over processes is whole again then."""
    model, settings = course.model, course.recipe.denoiser
    conditional = bool(getattr(model, "denoiser_takes_condition", False))
    if not settings.sharded:
        _train(course, keys, "denoiser", settings, model.denoiser, conditional=conditional)
        return
    from generators.training.sharding import gather, hollow

    split, whole = model.denoiser, hollow(model.denoiser)
    _train(course, keys, "denoiser", settings, split, conditional=conditional)
    whole.load_state_dict(gather(split.state_dict()), assign=True)
    model.denoiser = whole.requires_grad_(requires_grad=False).eval()


def refuse_unshardable(recipe: Recipe) -> None:
    """Refuse what weights that are split over processes cannot do.

    Raises:
        BadInput: fp16, kept generators, or an adapter that is to be split.
    """
    if recipe.adapter is not None and recipe.adapter.sharded:
        raise BadInput("a sharded adapter", "a sharded denoiser", "Set adapter.sharded: false")
    if not recipe.denoiser.sharded:
        return
    if recipe.denoiser.precision == "fp16":
        raise BadInput("sharded weights in fp16", "bf16 or no", "Set precision: bf16")
    if recipe.denoiser.keep_every:
        raise BadInput(
            "keep_every with sharded weights", "one of them", "Set keep_every: 0 or sharded: false"
        )


def train_adapter(course: Course, keys: list[str]) -> None:
    """Train the adapter and what ``adapter_parts`` names; the rest stays as it is."""
    if course.recipe.adapter is None or course.model.adapter is None:
        return
    parts = course.model.adapter_parts()
    network = parts[0] if len(parts) == 1 else torch.nn.ModuleList(parts)
    _train(course, keys, "adapter", course.recipe.adapter, network, conditional=True)


def _train(
    course: Course,
    keys: list[str],
    name: str,
    settings: Denoiser,
    network: torch.nn.Module,
    *,
    conditional: bool,
) -> None:
    course.model.requires_grad_(requires_grad=False)
    network.requires_grad_(requires_grad=True)
    if settings.gradient_checkpointing:
        recompute_blocks(course.model.denoiser)
        recompute_blocks(network)
    trainee = Trainee(
        network=network, call=Denoise(course.model), learning_rate=settings.learning_rate
    )
    run_stage(
        course,
        Stage(
            name=name,
            settings=settings,
            trainees={name: trainee},
            items=Items(_item(course, keys, conditional=conditional)),
            losses=_Loss(course, name, settings),
            picture=lambda: _picture(course, keys[0], conditional=conditional),
            picture_every=settings.picture_every,
            keep_every=settings.keep_every,
            sharded=settings.sharded,
        ),
    )
    course.model.requires_grad_(requires_grad=False)


def _item(course: Course, keys: list[str], *, conditional: bool) -> Callable[..., Item]:
    def make(_step: int, _slot: int, case: int) -> Item:
        stored = read_latent(course, keys[case])
        item = {"latent": torch.from_numpy(stored["latent"])}
        if conditional:
            item["masks"] = torch.from_numpy(course.grid.masks(stored["codes"]))
        if "group" in stored:
            item["group"] = torch.from_numpy(stored["group"])
        return item

    return make


def _picture(course: Course, key: str, *, conditional: bool) -> torch.Tensor:
    """Middle slice of a sample after 10 steps, in [0, 1]."""
    model, stored = course.model, read_latent(course, key)
    device = next(model.parameters()).device
    shape = (1, *stored["latent"].shape)
    noise = torch.randn(shape, generator=generator_for(course.seed, "picture")).to(device)
    labels = torch.from_numpy(stored["group"])[None].to(device) if "group" in stored else None
    condition = None
    if conditional:
        masks = torch.from_numpy(course.grid.masks(stored["codes"]))[None]
        condition = course.family.to_model(masks).to(device)
    training = model.denoiser.training
    model.eval()
    steps = min(10, model.schedule.steps)
    latent = model.sample_latent(noise, steps=steps, labels=labels, condition=condition)
    image = course.family.from_model(model.decode(latent / model.scale_factor))[0, 0, 0]
    model.denoiser.train(training)
    if model.adapter is not None:
        model.adapter.train(training)
    return (image[len(image) // 2].clamp(-1, 1) + 1) / 2


class _Loss:
    """Smooth-L1 of the prediction at a random time step."""

    def __init__(self, course: Course, name: str, settings: Denoiser) -> None:
        self.course, self.name, self.settings = course, name, settings

    def __call__(
        self, calls: Mapping[str, Any], batch: Item, draw: Draw, _step: int
    ) -> tuple[Losses, Losses]:
        model = self.course.model
        clean = batch["latent"] * model.scale_factor
        noise = draw.normal(clean)
        timesteps = draw.integers(model.schedule.steps).to(clean.device)
        noisy = model.schedule.add_noise(clean, noise, timesteps)
        condition = None
        if "masks" in batch:
            masks = drop_channels(batch["masks"], draw, self.settings)
            condition = self.course.family.to_model(masks)
        labels = batch.get("group")
        if labels is not None and self.name == "denoiser":
            labels = drop_labels(labels, draw, model.denoiser)
        made = calls[self.name](noisy, timesteps, labels, condition)
        made = made[:, : clean.shape[1]].float()
        wanted = model.schedule.target(clean, noise, timesteps)
        return {self.name: torch.nn.functional.smooth_l1_loss(made, wanted)}, {}


def drop_labels(labels: torch.Tensor, draw: Draw, network: Any) -> torch.Tensor:
    """Classifier-free dropout: the share ``class_dropout_prob`` of labels (b,) becomes "no class".

    Drawn from each sample's own seed: neither a resumed training nor the split of a batch over
    processes changes who is dropped. A network without classes takes its labels as they are.
    """
    config = getattr(network, "config", None)
    share = getattr(config, "class_dropout_prob", 0.0)
    if not share:
        return labels
    dropped = draw.uniform(1, "label dropout")[:, 0].to(labels.device) < share
    return torch.where(dropped, config.num_classes, labels)  # type: ignore[union-attr]


def drop_channels(masks: torch.Tensor, draw: Draw, settings: Denoiser) -> torch.Tensor:
    """Condition dropout: all of a case's masks (b, k, ...), and single channels, become empty."""
    k = masks.shape[1]
    chances = draw.uniform(k + 1, "condition dropout")
    kept = (chances[:, :1] >= settings.condition_dropout) & (
        chances[:, 1:] >= settings.channel_dropout
    )
    return masks * kept.to(masks).reshape(len(masks), k, *[1] * (masks.ndim - 2))
