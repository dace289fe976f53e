"""CardioDiT: VQ-GAN on 2D+t slices and a 4D diffusion transformer (arXiv:2603.25194).

Model images are (B, 1, x, y, z, t), which the official code calls H, W, D, T; latents are
(B, C, z, x', y', t').
"""

import torch

from audit.errors import BadInput
from audit.result import Record
from generators.family import Family
from generators.grid import Shape
from generators.latent import LatentModel
from generators.latent_generator import LatentGenerator
from generators.models.voldit import fit_dit, latent_grid, refuse_other_grid
from generators.networks.dit import DiT
from generators.networks.dit_config import DiTConfig
from generators.networks.slices import SliceStage
from generators.networks.vqgan import VQGAN, VQGANConfig, refuse_other_channels
from generators.schedules import ScheduleConfig, build_schedule


class CardioDiTConfig(Record):
    """What a CardioDiT is built from.

    Attributes:
        stage1: First stage, on (x, y, t).
        denoiser: DiT on (z, x, y, t); its ``input_size`` may be left to the cohort.
        scheduler: Noise schedule.
        scale_factor: The denoiser sees ``latent * scale_factor``.
    """

    stage1: VQGANConfig
    denoiser: DiTConfig
    scheduler: ScheduleConfig
    scale_factor: float = 1.0


def build(config: CardioDiTConfig) -> LatentModel:
    """A CardioDiT with random weights."""
    return LatentModel(
        stage1=SliceStage(VQGAN(config.stage1)),
        denoiser=DiT(config.denoiser),
        schedule=build_schedule(config.scheduler),
        scale_factor=config.scale_factor,
    )


def fitted(config: CardioDiTConfig, shape: Shape, masks: int, classes: int) -> CardioDiTConfig:
    """The configuration for a grid (t, z, y, x) and classes.

    Raises:
        BadInput: Masks, or a grid that ``input_size`` contradicts.
    """
    if masks:
        raise BadInput(
            f"{masks} mask channels for cardiodit",
            "none: it has no adapter",
            "Use voldit, medlord or ldm for conditions",
        )
    refuse_other_channels(config.stage1, config.denoiser.in_channels)
    t, z, y, x = shape
    height, width, time = latent_grid((x, y, t), config.stage1.factor)
    latent = (z, height, width, time)
    refuse_other_grid(config.denoiser, latent)
    return config.model_copy(update={"denoiser": fit_dit(config.denoiser, latent, classes)})


def multiple(config: CardioDiTConfig) -> Shape:
    """Volumes divide into whole patches of whole latent voxels."""
    patch = config.denoiser.patch_size
    z, height, width, time = (patch,) * 4 if isinstance(patch, int) else patch
    x, y, t = config.stage1.factor
    return t * time, z, y * width, x * height


def mirrored(tensor: torch.Tensor) -> torch.Tensor:
    """(b, c, t, z, y, x) to (b, c, x, y, z, t), which is also the way back."""
    return tensor.permute(0, 1, 5, 4, 3, 2)


def stage1_views(images: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:
    """One random z-slice of each image: (b, c, x, y, z, t) to (b, c, x, y, t)."""
    depth = images.shape[4]
    chosen = [min(int(float(p) * depth), depth - 1) for p in picks]
    return torch.stack([image[..., i, :] for image, i in zip(images, chosen, strict=True)])


class CardioDiT(LatentGenerator):
    """VQ-GAN on 2D+t slices and 4D DiT, trained and sampled."""

    family = Family(
        name="cardiodit",
        config=CardioDiTConfig,
        build=build,
        fitted=fitted,
        to_model=mirrored,
        from_model=mirrored,
        stage1_views=stage1_views,
        multiple=multiple,
    )


MODEL = CardioDiT
