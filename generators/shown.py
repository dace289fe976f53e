"""What a latent diffusion model shows to an audit: its noise prediction and its autoencoder."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from audit.case import Case
from audit.copies.membership import MembershipTarget
from audit.errors import BadInput, NotComputable
from audit.volume import Volume
from generators.hardware import best_device

if TYPE_CHECKING:
    from generators.latent_generator import LatentGenerator


def show_noise(generator: "LatentGenerator") -> MembershipTarget:
    """The model as membership attacks see it: without masks, and with the "no class" label.

    Args:
        generator: A fitted one.

    Raises:
        NotComputable: It was trained on classes and has no "no class" label.
    """
    model, schedule = generator._model.eval(), generator._model.schedule
    model.memory_gb = generator.recipe.sampling.memory_gb
    device = _to_device(generator)
    labels = _no_class(generator)
    known: dict[tuple[str, str], torch.Tensor] = {}  # every attack asks for the same ones

    @torch.inference_mode()
    def latent(case: Case) -> torch.Tensor:
        name = (case.subject, case.id)
        if name not in known:
            known[name] = _encode(generator, case.image, device) * model.scale_factor
        return known[name]

    @torch.inference_mode()
    def noise(noisy: torch.Tensor, timestep: int) -> torch.Tensor:
        times = torch.full((len(noisy),), timestep, device=noisy.device)
        made = model.denoise(noisy, times, labels=labels(len(noisy)))[:, : noisy.shape[1]]
        return schedule.split(made.float(), noisy, schedule.alpha_bar(timestep))[1]

    return MembershipTarget(latent=latent, noise=noise, alpha_bar=schedule.alphas_cumprod)


@torch.inference_mode()
def autoencode(generator: "LatentGenerator", volumes: Iterable[Volume]) -> list[Volume]:
    """Volumes as they come back from the generator's autoencoder, on its own grid.

    Args:
        generator: A fitted one.
        volumes: In units and with a geometry.
    """
    model, device = generator._model.eval(), _to_device(generator)
    model.memory_gb = generator.recipe.sampling.memory_gb
    made = []
    for volume in volumes:
        image = model.decode(_encode(generator, volume, device))
        array = generator.family.from_model(image)[0].float().cpu().numpy()
        back = generator._grid.volume(array)
        made.append(replace(back, spacing_known=volume.spacing_known))
    return made


def _encode(generator: "LatentGenerator", volume: Volume, device: torch.device) -> torch.Tensor:
    image = torch.from_numpy(generator._grid.image(volume))[None].to(device)
    return generator._model.encode(generator.family.to_model(image)).float()


def _to_device(generator: "LatentGenerator") -> torch.device:
    device = best_device()
    generator._model.to(device)
    return device


def _no_class(generator: "LatentGenerator") -> Callable[[int], torch.Tensor | None]:
    """What stands for "no class" in a batch of a size."""
    if not generator._grid.groups:
        return lambda _: None
    null_labels = getattr(generator._model.denoiser, "null_labels", None)
    try:
        if null_labels is not None:
            null_labels(1)
            return null_labels
    except BadInput:
        pass
    raise NotComputable(
        "this generator was trained on classes without one that stands for none",
        "a DiT with class_dropout_prob above 0, or no classes",
    )
