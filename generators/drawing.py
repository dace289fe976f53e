"""Drawing: from seeds and masks to cases, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from audit.cohort import Case, Cohort
from audit.errors import BadInput
from audit.ledger import Ledger
from generators.cost import Cost
from generators.hardware import autocast, best_device, compile_denoiser
from generators.mask_place import refuse_elsewhere
from generators.memory import memory_to_spare
from generators.recipe import Sampling
from generators.seeds import generator_for

if TYPE_CHECKING:
    from generators.latent import LatentModel
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
    device = best_device()
    model = generator._model.to(device).eval()
    model.memory_gb = settings.memory_gb
    if settings.compile:
        compile_denoiser(model.denoiser)
    cost = Cost(model)
    for start in range(0, len(indices), settings.batch_size):
        ledger.check_budget()  # here, where all earlier samples are complete
        batch = list(indices[start : start + settings.batch_size])
        with ledger.phase("sampling"), memory_to_spare("denoising", LOWER_DENOISING):
            asked = _asked(generator, batch, seed, conditions, device)
            latents = _latents(model, asked, settings)
            ledger.work(volumes=len(batch), **cost.of_sampling(asked))
        asked.clear()  # masks of full size need not stay on the GPU while latents are decoded
        for index, latent in zip(batch, latents, strict=True):
            with ledger.phase("decoding"), memory_to_spare("decoding", LOWER_DECODING):
                case = _case(generator, index, latent, conditions, settings)
                ledger.work(volumes=1, voxels=case.image.array.size, **cost.of_decoding(latent))
            yield case


def _asked(
    generator: "LatentGenerator",
    batch: list[int],
    seed: int,
    conditions: Cohort | None,
    device: torch.device,
) -> dict[str, Any]:
    """Noise, random streams, labels and masks of a batch."""
    streams = [generator_for(seed, "sample", index) for index in batch]
    noise = torch.stack([torch.randn(generator.latent_shape, generator=g) for g in streams])
    groups = generator._grid.groups
    return {
        "noise": noise.to(device),
        "rng": streams,
        "labels": torch.tensor([i % len(groups) for i in batch], device=device) if groups else None,
        "condition": None
        if conditions is None
        else _masks(generator, batch, conditions).to(device),
    }


def _latents(model: "LatentModel", asked: dict[str, Any], settings: Sampling) -> torch.Tensor:
    """Scaled latents of a batch."""
    with autocast(model, settings.precision):
        return model.sample_latent(
            steps=settings.steps,
            sampler=settings.sampler,
            conditioning_scale=settings.conditioning_scale,
            guidance=settings.guidance,
            **asked,
        )


def _masks(generator: "LatentGenerator", batch: list[int], conditions: Cohort) -> torch.Tensor:
    grid = generator._grid
    rows = []
    for index in batch:
        labels = conditions[index % len(conditions)].labels
        if labels is None:
            raise BadInput("a condition has no label map", "label maps to follow")
        refuse_elsewhere(labels, grid, f"condition {index % len(conditions) + 1}")
        rows.append(torch.from_numpy(grid.masks(grid.codes(labels))))
    return generator.family.to_model(torch.stack(rows))


def _case(
    generator: "LatentGenerator",
    index: int,
    latent: torch.Tensor,
    conditions: Cohort | None,
    settings: Sampling,
) -> Case:
    model = generator._model
    with autocast(model, settings.precision):
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
