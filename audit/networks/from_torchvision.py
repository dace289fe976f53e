"""torchvision's classifiers without their heads, as 2.5D encoders."""

from collections.abc import Callable, Sequence
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
HEADS = ("fc", "AuxLogits", "classifier")
KERAS_EPSILON = 1.001e-5


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
    state = by_name(load_state(path), [name for name, _ in network.named_children()])
    in_keras = architecture == "resnet50" and "conv1.bias" in state
    if in_keras:
        as_in_keras(network)
    fill(network, state, name=architecture, ignored=HEADS)
    network.to(workshop.device)
    side = SIDES[architecture]

    def forward(slices: "torch.Tensor") -> "torch.Tensor":
        if normalization == "imagenet":
            return pooled(network(imagenet_input(slices, side=side)))
        return pooled(network(_radimagenet_input(slices, side=side)))

    return SliceNetwork(
        forward,
        file_hash(path),
        {
            "network": f"{architecture}, as in Keras" if in_keras else architecture,
            "normalization": normalization,
            "side": side,
        },
    )


def by_name(state: dict[str, "torch.Tensor"], children: Sequence[str]) -> dict[str, "torch.Tensor"]:
    """Stages by name where a checkpoint numbers them; as they are otherwise.

    Checkpoints saved from ``nn.Sequential(*network.children())``, as RadImageNet's own, name stages
    by position.

    Args:
        state: Tensors by name.
        children: Names of the network's children in order.
    """
    if not state:
        raise BadInput("a checkpoint without tensors", "weights")
    if not all(k.partition(".")[0].isdigit() for k in state):
        return state
    renamed = {}
    for key, value in state.items():
        position, _, rest = key.partition(".")
        if int(position) < len(children):
            renamed[f"{children[int(position)]}.{rest}"] = value
    return renamed


def as_in_keras(network: "torch.nn.Module") -> None:
    """Make a ResNet-50 the one of Keras: convolutions with bias, stride in a block's first, own ε.

    RadImageNet was trained so, and ``RadImageNet-ResNet50_notop.pth`` of
    ``Warvito/radimagenet-models``, with which MAISI's script works, keeps it.
    """
    import torch
    from torchvision.models.resnet import Bottleneck

    for module in list(network.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = KERAS_EPSILON
        elif isinstance(module, torch.nn.Conv2d) and module.bias is None:
            module.bias = torch.nn.Parameter(torch.zeros(module.out_channels))
        if isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride


def _radimagenet_input(slices: "torch.Tensor", *, side: int) -> "torch.Tensor":
    """Gray slices as BGR less the ImageNet mean, not divided by its deviation."""
    import torch

    scaled = torch.nn.functional.interpolate(
        (slices + 1) / 2, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    mean = torch.tensor(IMAGENET_MEAN[::-1], device=slices.device)[:, None, None]
    return scaled.expand(-1, 3, -1, -1) - mean
