"""Drawing: from seeds and masks to cases, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from audit.cohort import Case, Cohort
from audit.errors import BadInput
from audit.ledger import Ledger
from generators.memory import memory_to_spare
from generators.recipe import Sampling
from generators.seeds import generator_for
from generators.training.loop import AUTOCAST

if TYPE_CHECKING:
    from generators.latent_generator import LatentGenerator

LOWER_DENOISING = "Lower --batch-size, or set sampling.precision: bf16 in the recipe"
LOWER_DECODING = "Give --memory-gb: it decodes in exact tiles"


def draw(
    generator: "LatentGenerator",
    indices: Sequence[int],
    seed: int,
    conditions: Cohort | None,
    settings: Sampling,
    ledger: Ledger,
) -> Iterator[Case]:
    """Yield the cases of these indices, in order."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = generator._model.to(device).eval()
    model.memory_gb = settings.memory_gb
    if settings.compile:
        model.denoiser.compile()
    for start in range(0, len(indices), settings.batch_size):
        ledger.check_budget()  # here, where all earlier samples are complete
        batch = list(indices[start : start + settings.batch_size])
        with ledger.phase("sampling"), memory_to_spare("denoising", LOWER_DENOISING):
            latents = _latents(generator, batch, seed, conditions, settings, device)
            ledger.work(volumes=len(batch), denoiser_calls=settings.steps * len(batch))
        for index, latent in zip(batch, latents, strict=True):
            with ledger.phase("decoding"), memory_to_spare("decoding", LOWER_DECODING):
                case = _case(generator, index, latent, conditions)
                ledger.work(volumes=1, voxels=case.image.array.size)
            yield case


@torch.inference_mode()
def _latents(
    generator: "LatentGenerator",
    batch: list[int],
    seed: int,
    conditions: Cohort | None,
    settings: Sampling,
    device: torch.device,
) -> torch.Tensor:
    """Scaled latents of a batch."""
    streams = [generator_for(seed, "sample", index) for index in batch]
    noise = torch.stack([torch.randn(generator.latent_shape, generator=g) for g in streams])
    groups = generator._grid.groups
    labels = torch.tensor([i % len(groups) for i in batch], device=device) if groups else None
    condition = None
    if conditions is not None:
        condition = _masks(generator, batch, conditions).to(device)
    with torch.autocast(
        device.type, dtype=AUTOCAST[settings.precision], enabled=settings.precision != "no"
    ):
        return generator._model.sample_latent(
            noise.to(device),
            steps=settings.steps,
            sampler=settings.sampler,
            labels=labels,
            condition=condition,
            conditioning_scale=settings.conditioning_scale,
            guidance=settings.guidance,
            rng=streams,
        )


def _masks(generator: "LatentGenerator", batch: list[int], conditions: Cohort) -> torch.Tensor:
    grid = generator._grid
    rows = []
    for index in batch:
        labels = conditions[index % len(conditions)].labels
        if labels is None:
            raise BadInput("a condition has no label map", "label maps to follow")
        rows.append(torch.from_numpy(grid.masks(grid.codes(labels))))
    return generator.family.to_model(torch.stack(rows))


@torch.inference_mode()
def _case(
    generator: "LatentGenerator", index: int, latent: torch.Tensor, conditions: Cohort | None
) -> Case:
    model = generator._model
    image = model.decode(latent[None].float() / model.scale_factor)
    array = generator.family.from_model(image)[0].float().cpu().numpy()
    groups = generator._grid.groups
    name = f"sample-{index:05d}"
    return Case(
        id=name,
        subject=name,
        image=generator._grid.volume(array),
        condition=conditions.ids[index % len(conditions)] if conditions is not None else None,
        group=groups[index % len(groups)] if groups else None,
    )
