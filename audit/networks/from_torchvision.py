"""torchvision's classifiers without their heads, as 2.5D encoders."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from audit.errors import BadInput
from audit.extractor import Encoder, Workshop
from audit.networks import (
    IMAGENET_MEAN,
    file_hash,
    fill,
    imagenet_input,
    load_state,
    local_weights,
    planes_encoder,
    pooled,
)

if TYPE_CHECKING:
    import torch

SIDES = {"resnet50": 224, "inception_v3": 299}
# Checkpoints saved from nn.Sequential(*resnet.children()) name stages by position.
RESNET_POSITIONS = {
    "0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4",
}  # fmt: skip
HEADS = ("fc", "AuxLogits", "classifier")


class SliceNetwork(NamedTuple):
    """A classifier without its head: slices (b, 1, h, w) in [-1, 1] to features (b, d).

    Attributes:
        forward: On the workshop's device.
        sha256: Of the weights.
        settings: What else the features depend on.
    """

    forward: Callable[["torch.Tensor"], "torch.Tensor"]
    sha256: str
    settings: dict[str, Any]


def plane_network(
    workshop: Workshop, *, name: str, architecture: str, normalization: str
) -> Encoder:
    """A 2.5D encoder: ``slice_network`` on three planes, averaged per volume."""
    network = slice_network(
        workshop, name=name, architecture=architecture, normalization=normalization
    )
    return planes_encoder(
        network.forward, workshop, sha256=network.sha256, settings=network.settings
    )


def slice_network(
    workshop: Workshop, *, name: str, architecture: str, normalization: str
) -> SliceNetwork:
    """The network of one slice, from local weights of ``resnet50`` or ``inception_v3``.

    Args:
        workshop: Knows the file and the device.
        name: Extractor.
        architecture: Of torchvision.
        normalization: ``imagenet``, or ``radimagenet`` (BGR less the ImageNet mean).

    Raises:
        NotComputable: No weights were given.
        BadInput: They are of another network.
    """
    import torch
    from torchvision import models

    path = local_weights(workshop, name, what=f"a checkpoint of torchvision's {architecture}")
    if architecture == "resnet50":
        network = models.resnet50(weights=None)
    else:
        network = models.inception_v3(
            weights=None, aux_logits=False, init_weights=False, transform_input=False
        )
    network.fc = torch.nn.Identity()
    fill(network, by_name(load_state(path)), name=architecture, ignored=HEADS)
    network.to(workshop.device)
    side = SIDES[architecture]

    def forward(slices: "torch.Tensor") -> "torch.Tensor":
        if normalization == "imagenet":
            return pooled(network(imagenet_input(slices, side=side)))
        return pooled(network(_radimagenet_input(slices, side=side)))

    return SliceNetwork(
        forward,
        file_hash(path),
        {"network": architecture, "normalization": normalization, "side": side},
    )


def by_name(state: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Stages by name where a checkpoint numbers them; as they are otherwise."""
    if not state:
        raise BadInput("a checkpoint without tensors", "weights")
    if not all(k.partition(".")[0].isdigit() for k in state):
        return state
    renamed = {}
    for key, value in state.items():
        position, _, rest = key.partition(".")
        if position in RESNET_POSITIONS:
            renamed[f"{RESNET_POSITIONS[position]}.{rest}"] = value
    return renamed


def _radimagenet_input(slices: "torch.Tensor", *, side: int) -> "torch.Tensor":
    """Gray slices as BGR less the ImageNet mean, not divided by its deviation."""
    import torch

    scaled = torch.nn.functional.interpolate(
        (slices + 1) / 2, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    mean = torch.tensor(IMAGENET_MEAN[::-1], device=slices.device)[:, None, None]
    return scaled.expand(-1, 3, -1, -1) - mean
