"""First stage: an autoencoder whose reconstructions are judged by five losses.

L1 + codebook (or KL) + perceptual + patch-adversarial, which sets in after a warm-up, + spectral
(the Jukebox loss on Fourier amplitudes). Codes that no batch uses are reported.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from audit.errors import BadInput
from generators.networks.vqgan import VQGAN
from generators.perceptual import Perceptual, load_perceptual
from generators.seeds import Draw, derive_seed, generator_for, seeded_globally
from generators.training.augment import augment
from generators.training.batches import Item, Items
from generators.training.course import Course
from generators.training.loop import Losses, Stage, Trainee, run_stage

DEAD_BELOW = 1e-3
KEEP_SMALL = 1e-3


class Reconstruction(torch.nn.Module):
    """Runs a first stage for training, whatever its regularization."""

    def __init__(self, stage1: torch.nn.Module) -> None:
        super().__init__()
        self.stage1 = stage1

    def forward(
        self, views: torch.Tensor, draw: Draw, *, quantize: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction and regularization (codebook loss, or KL divergence per latent value)."""
        from monai.networks.nets import AutoencoderKL

        stage1: Any = getattr(self.stage1, "network", self.stage1)
        network = find_vqgan(stage1)
        if network is not None and not quantize:
            latent = network.encoder(views)
            return network.decoder(latent), KEEP_SMALL * latent.float().square().mean()
        if not isinstance(stage1, AutoencoderKL):
            reconstruction, regularization = self.stage1(views)
            return reconstruction, regularization
        mean, sigma = stage1.encode(views)
        latent = mean + sigma * draw.normal(mean, "latent").to(mean.dtype)
        variance = sigma.float() ** 2
        divergence = 0.5 * (mean.float() ** 2 + variance - variance.log() - 1)
        return stage1.decode(latent), divergence.mean()


def train_stage1(course: Course) -> None:
    """Train the first stage of a model to the end of its recipe."""
    settings = course.recipe.stage1
    spatial = _spatial_dims(course)
    trainees = {
        "stage1": Trainee(
            network=course.model.stage1,
            call=Reconstruction(course.model.stage1),
            learning_rate=settings.learning_rate,
            averaged=False,
        )
    }
    if settings.adversarial_weight > 0:
        _refuse_small(course, spatial, settings.discriminator_layers)
        discriminator = _discriminator(course, spatial)
        trainees["discriminator"] = Trainee(
            network=discriminator,
            call=discriminator,
            learning_rate=settings.discriminator_learning_rate,
            averaged=False,
        )
    perceptual = None
    if settings.perceptual_weight > 0:
        perceptual = load_perceptual(settings.perceptual_weights)
        course.record["perceptual"] = perceptual.description if perceptual else PERCEPTUAL_OFF
    _thaw(course.model.stage1)
    with channels_last(course, spatial):
        run_stage(
            course,
            Stage(
                name="stage1",
                settings=settings,
                trainees=trainees,
                items=Items(_item(course)),
                losses=_Losses(course, spatial, perceptual),
            ),
        )
    course.record["codebook"] = codebook_report(course.model.stage1)


@contextmanager
def channels_last(course: Course, spatial: int) -> Iterator[None]:
    """Hold a 3D first stage's weights with channels innermost while one CPU trains it.

    Convolutions of few channels are faster so (a step of ``ldm-demo`` by a quarter), transformers
    and the denoiser's U-Net are not. Values stay as they are.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    on_cpu = course.cpu or not torch.cuda.is_available()
    network: Any = course.model.stage1
    if alone and on_cpu and spatial == 3:
        network.to(memory_format=torch.channels_last_3d)
    try:
        yield
    finally:
        network.to(memory_format=torch.contiguous_format)


PERCEPTUAL_OFF = (
    "off: no weights at hand. Give stage1.perceptual_weights (a local file) or install "
    "'voxaudit[networks]'"
)


class _Losses:
    """The five losses of the first stage."""

    def __init__(self, course: Course, spatial: int, perceptual: Perceptual | None) -> None:
        from monai.losses import JukeboxLoss, PatchAdversarialLoss

        self.course, self.settings, self.perceptual = course, course.recipe.stage1, perceptual
        self.spectral = JukeboxLoss(spatial_dims=spatial)
        self.adversarial = PatchAdversarialLoss(criterion="least_squares")
        per_epoch = self.settings.steps_per_epoch(len(course.cohort))
        self.warmup = self.settings.adversarial_warmup_epochs * per_epoch

    def __call__(
        self, calls: Mapping[str, Any], batch: Item, draw: Draw, step: int
    ) -> tuple[Losses, Losses]:
        family = self.course.family
        images = family.to_model(batch["image"])
        picks = draw.uniform(1, "views")[:, 0]
        views = family.stage1_views(images, picks)
        if step == self.settings.quantize_after > 0:
            start_codebook(self.course)
        quantize = step >= self.settings.quantize_after
        made, regularization = calls["stage1"](views, draw, quantize=quantize)
        made = made.float()
        logs = {
            "l1": torch.nn.functional.l1_loss(made, views),
            "regularization": regularization,
        }
        total = logs["l1"] + self.settings.regularization_weight * regularization
        if self.settings.spectral_weight > 0:
            logs["spectral"] = self.spectral(made, views)
            total = total + self.settings.spectral_weight * logs["spectral"]
        if self.perceptual is not None:
            logs["perceptual"] = self.perceptual(made, views)
            total = total + self.settings.perceptual_weight * logs["perceptual"]
        losses: Losses = {}
        if "discriminator" in calls:
            losses, fooling = self._adversarial(calls["discriminator"], made, views, step)
            total = total + fooling
        return {"stage1": total, **losses}, logs

    def _adversarial(
        self, discriminator: Any, made: torch.Tensor, views: torch.Tensor, step: int
    ) -> tuple[Losses, torch.Tensor]:
        """(the discriminator's own loss, the generator's weighted one); both 0 in the warm-up."""
        if step < self.warmup:
            # Detached: each loss goes backward alone, so none may hold the other's graph.
            nothing = made.detach().sum() * 0
            still = sum((p.sum() * 0 for p in discriminator.parameters()), nothing)
            return {"discriminator": torch.as_tensor(still)}, nothing
        inner = getattr(discriminator, "module", discriminator)
        inner.requires_grad_(requires_grad=False)
        fooling = self.adversarial(inner(made)[-1], target_is_real=True, for_discriminator=False)
        inner.requires_grad_(requires_grad=True)
        scores = discriminator(torch.cat([made.detach(), views]))[-1]
        fake, real = scores.chunk(2)
        judged = 0.5 * (
            self.adversarial(fake, target_is_real=False, for_discriminator=True)
            + self.adversarial(real, target_is_real=True, for_discriminator=True)
        )
        return {"discriminator": judged}, self.settings.adversarial_weight * fooling


def codebook_report(stage1: torch.nn.Module) -> dict[str, float] | None:
    """How many codes are alive by their moving average of use; None without a codebook."""
    sizes = next((b for n, b in stage1.named_buffers() if n.endswith("ema_cluster_size")), None)
    if sizes is None:
        return None
    share = sizes / sizes.sum().clamp_min(1e-12)
    used = share[share > 0]
    return {
        "codes": float(len(sizes)),
        "dead": float((sizes < DEAD_BELOW).sum()),
        "perplexity": float(torch.exp(-(used * used.log()).sum())),
    }


def find_vqgan(stage1: torch.nn.Module) -> VQGAN | None:
    """The VQ-GAN in a first stage, whatever wraps it; None for a KL autoencoder."""
    return next((m for m in stage1.modules() if isinstance(m, VQGAN)), None)


@torch.no_grad()
def start_codebook(course: Course) -> None:
    """Set the codes to encodings of evenly spread training cases, as many as there are codes."""
    network = find_vqgan(course.model.stage1)
    if network is None:
        return
    device = network.codebook.embedding.weight.device
    codebook = network.codebook
    count, width = codebook.embedding.weight.shape
    found: list[torch.Tensor] = []
    for case in np.linspace(0, len(course.cohort) - 1, min(8, len(course.cohort))).astype(int):
        image = torch.from_numpy(course.grid.image(course.cohort[int(case)].image))[None]
        views = course.family.stage1_views(course.family.to_model(image), torch.full((1,), 0.5))
        found.append(network.encoder(views.to(device)).movedim(1, -1).reshape(-1, width))
    encodings = torch.cat(found)
    order = torch.randperm(len(encodings), generator=generator_for(course.seed, "codebook"))
    codes = encodings[order[torch.arange(count) % len(order)]]
    codebook.embedding.weight.copy_(codes)
    codebook.ema_w.copy_(codes)
    codebook.ema_cluster_size.fill_(1.0)


def _thaw(stage1: torch.nn.Module) -> None:
    """Train everything but an EMA codebook: it moves by counting, never by gradients."""
    stage1.requires_grad_(requires_grad=True)
    for module in stage1.modules():
        codes = getattr(module, "embedding", None)
        if hasattr(module, "ema_cluster_size") and isinstance(codes, torch.nn.Embedding):
            codes.requires_grad_(requires_grad=False)


def _item(course: Course) -> Any:
    data = course.recipe.data

    def make(step: int, slot: int, case: int) -> Item:
        image = torch.from_numpy(course.grid.image(course.cohort[case].image))
        place = derive_seed(course.seed, "augment", step, slot)
        return {"image": augment(image, data, np.random.default_rng(place))}

    return make


def _spatial_dims(course: Course) -> int:
    return 2 if course.grid.preprocessing.shape[1] == 1 and course.family.name == "ldm" else 3


def _discriminator(course: Course, spatial: int) -> torch.nn.Module:
    from monai.networks.nets import PatchDiscriminator

    settings = course.recipe.stage1
    with seeded_globally(course.seed, "discriminator"):
        return PatchDiscriminator(
            spatial_dims=spatial,
            channels=settings.discriminator_channels,
            in_channels=1,
            num_layers_d=settings.discriminator_layers,
            norm="INSTANCE",  # as batch norm at the published batch of 1; alike on any processes
        )


def _refuse_small(course: Course, spatial: int, layers: int) -> None:
    """Each layer halves every axis, and the last two convolutions need three elements.

    Raises:
        BadInput: An axis (time, for a cine) is too short for the discriminator.
    """
    image = torch.zeros(1, 1, *course.grid.preprocessing.shape)
    views = course.family.stage1_views(course.family.to_model(image), torch.full((1,), 0.5))
    sizes, least = tuple(views.shape[-spatial:]), 3 * 2**layers
    if min(sizes) < least:
        seen = " x ".join(map(str, sizes))
        raise BadInput(
            f"the first stage sees {seen} elements, the frames of a cine among them",
            f"at least {least} along each axis for a discriminator of {layers} layers",
            "Lower stage1.discriminator_layers, or set stage1.adversarial_weight to 0",
        )
