"""VolDiT: VQ-GAN, 3D diffusion transformer and TGCA (arXiv:2603.25181).

Model tensors are (B, 1, x, y, z), which the official code calls H, W, D.
"""

from typing import Any

from audit.errors import BadInput
from audit.result import Record
from generators.axes import volume_from_model, volume_to_model, whole_images
from generators.family import Family
from generators.grid import Shape
from generators.latent import LatentModel
from generators.latent_generator import LatentGenerator
from generators.networks.dit import DiT
from generators.networks.dit_config import DiTConfig
from generators.networks.tgca import TGCA, TGCAConfig
from generators.networks.vqgan import VQGAN, VQGANConfig, refuse_other_channels
from generators.schedules import ScheduleConfig, build_schedule


class VolDiTConfig(Record):
    """What a VolDiT is built from.

    Attributes:
        stage1: First stage.
        denoiser: DiT; its ``input_size`` may be left to the cohort.
        scheduler: Noise schedule.
        adapter: TGCA, or None.
        scale_factor: The denoiser sees ``latent * scale_factor``.
    """

    stage1: VQGANConfig
    denoiser: DiTConfig
    scheduler: ScheduleConfig
    adapter: TGCAConfig | None = None
    scale_factor: float = 1.0


def build(config: VolDiTConfig) -> LatentModel:
    """A VolDiT with random weights."""
    denoiser = DiT(config.denoiser)
    adapter = None
    if config.adapter is not None:
        adapter = TGCA(
            config.adapter,
            depth=config.denoiser.depth,
            hidden=config.denoiser.hidden_size,
            grid=config.denoiser.grid,
        )
    return LatentModel(
        stage1=VQGAN(config.stage1),
        denoiser=denoiser,
        adapter=adapter,
        schedule=build_schedule(config.scheduler),
        scale_factor=config.scale_factor,
    )


def fitted(config: VolDiTConfig, shape: Shape, masks: int, classes: int) -> VolDiTConfig:
    """The configuration for a grid (t, z, y, x), mask channels and classes.

    Raises:
        BadInput: A cine, or a grid that ``input_size`` contradicts.
    """
    frames, *zyx = shape
    if frames != 1:
        raise BadInput(f"{frames} frames for voldit", "1", "Use cardiodit for cine volumes")
    refuse_other_channels(config.stage1, config.denoiser.in_channels)
    latent = latent_grid(zyx[::-1], config.stage1.factor)
    refuse_other_grid(config.denoiser, latent)
    adapter = config.adapter
    if masks:
        adapter = (adapter or TGCAConfig()).model_copy(update={"condition_channels": masks})
    return config.model_copy(
        update={"denoiser": fit_dit(config.denoiser, latent, classes), "adapter": adapter}
    )


def latent_grid(image: Any, factor: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of the latent of an image with these sizes."""
    return tuple(n // f for n, f in zip(image, factor, strict=True))


def refuse_other_grid(denoiser: DiTConfig, latent: tuple[int, ...]) -> None:
    """Stop where a configured latent size is not the cohort's.

    Raises:
        BadInput: It is not.
    """
    if denoiser.input_size not in (None, latent):
        raise BadInput(
            f"the volumes give latents of {latent}",
            f"{denoiser.input_size}, the denoiser's input_size",
            "Set data.shape, or leave input_size out",
        )


def fit_dit(denoiser: DiTConfig, latent: tuple[int, ...], classes: int) -> DiTConfig:
    """The DiT for a latent size and a number of classes, validated again."""
    known = {"input_size": latent, "num_classes": classes or denoiser.num_classes}
    return DiTConfig(**{**denoiser.model_dump(), **known})


def multiple(config: VolDiTConfig) -> Shape:
    """Volumes divide into whole patches of whole latent voxels."""
    patch = config.denoiser.patch_size
    edges = (patch,) * 3 if isinstance(patch, int) else patch
    x, y, z = (f * p for f, p in zip(config.stage1.factor, edges, strict=True))
    return 1, z, y, x


class VolDiT(LatentGenerator):
    """VQ-GAN, 3D DiT and TGCA, trained and sampled."""

    family = Family(
        name="voldit",
        config=VolDiTConfig,
        build=build,
        fitted=fitted,
        to_model=volume_to_model,
        from_model=volume_from_model,
        stage1_views=whole_images,
        multiple=multiple,
    )


MODEL = VolDiT
