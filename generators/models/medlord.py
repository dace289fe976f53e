"""MedLoRD: VQ-GAN, 3D diffusion U-Net and ControlNet (arXiv:2503.13211).

Model tensors are (B, 1, x, y, z), which the official code calls H, W, D.
"""

from audit.errors import BadInput
from audit.result import Record
from generators.axes import volume_from_model, volume_to_model, whole_images
from generators.family import Family
from generators.grid import Shape
from generators.latent import LatentModel
from generators.latent_generator import LatentGenerator
from generators.networks.unet import ControlNet, ControlNetConfig, UNet, UNetConfig
from generators.networks.vqgan import VQGAN, VQGANConfig, refuse_other_channels
from generators.schedules import ScheduleConfig, build_schedule


class MedLoRDConfig(Record):
    """What a MedLoRD is built from.

    Attributes:
        stage1: First stage.
        denoiser: U-Net.
        scheduler: Noise schedule.
        adapter: ControlNet, or None.
        scale_factor: The denoiser sees ``latent * scale_factor``.
    """

    stage1: VQGANConfig
    denoiser: UNetConfig
    scheduler: ScheduleConfig
    adapter: ControlNetConfig | None = None
    scale_factor: float = 1.0


def build(config: MedLoRDConfig) -> LatentModel:
    """A MedLoRD with random weights.

    Raises:
        BadInput: A ControlNet whose levels are not the U-Net's.
    """
    if config.adapter is not None and config.adapter.num_channels != config.denoiser.num_channels:
        raise BadInput(
            f"ControlNet num_channels {config.adapter.num_channels}",
            f"{config.denoiser.num_channels}, the U-Net's (r scales them)",
        )
    return LatentModel(
        stage1=VQGAN(config.stage1),
        denoiser=UNet(config.denoiser),
        adapter=ControlNet(config.adapter) if config.adapter is not None else None,
        schedule=build_schedule(config.scheduler),
        scale_factor=config.scale_factor,
    )


def fitted(config: MedLoRDConfig, shape: Shape, masks: int, classes: int) -> MedLoRDConfig:
    """The configuration for a grid (t, z, y, x), mask channels and classes.

    Raises:
        BadInput: A cine.
    """
    if shape[0] != 1:
        raise BadInput(f"{shape[0]} frames for medlord", "1", "Use cardiodit for cine volumes")
    refuse_other_channels(config.stage1, config.denoiser.in_channels)
    denoiser, adapter = config.denoiser, config.adapter
    if classes:
        denoiser = denoiser.model_copy(update={"num_class_embeds": classes})
    if masks:
        adapter = adapter or mask_network(config)
        update = {"conditioning_embedding_in_channels": masks}
        if classes:
            update["num_class_embeds"] = classes
        adapter = adapter.model_copy(update=update)
    return config.model_copy(update={"denoiser": denoiser, "adapter": adapter})


def mask_network(config: MedLoRDConfig) -> ControlNetConfig:
    """A ControlNet as wide as the U-Net whose mask convolutions end on the latent's grid."""
    halvings = max(config.stage1.factor).bit_length() - 1
    unet = config.denoiser.model_dump(exclude={"out_channels", "dropout_cattn"})
    return ControlNetConfig(
        **unet,
        r=1.0,
        initial_stride=1,
        conditioning_embedding_num_channels=tuple(8 * 2**i for i in range(halvings + 1)),
    )


def multiple(config: MedLoRDConfig) -> Shape:
    """The first stage and then the U-Net halve the volume without a remainder."""
    halvings = 2 ** (len(config.denoiser.num_channels) - 1)
    x, y, z = (f * halvings for f in config.stage1.factor)
    return 1, z, y, x


class MedLoRD(LatentGenerator):
    """VQ-GAN, 3D U-Net and ControlNet, trained and sampled."""

    family = Family(
        name="medlord",
        config=MedLoRDConfig,
        build=build,
        fitted=fitted,
        to_model=volume_to_model,
        from_model=volume_from_model,
        stage1_views=whole_images,
        multiple=multiple,
    )


MODEL = MedLoRD
