"""Convolution stacks in tiles: exactly the untiled result within a memory limit.

A stack without normalization and attention sees only its receptive field. For each tile of the
output the needed input is found layer by layer, backwards, so that the halo is exactly as wide as
it must be; at the border of the volume the network's own zero padding acts as it does untiled.
Networks with normalization have no such bound: see ``generators.windows``.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn

from audit.errors import BadInput
from generators.memory import HEADROOM, peak_of, weight_bytes

Interval = tuple[int, int]
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SMALLEST = 8
LOCAL = (nn.ReLU, nn.SiLU, nn.GELU, nn.PReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Identity)


@dataclass(frozen=True)
class Layer:
    """One convolution along one axis."""

    kernel: int
    stride: int
    dilation: int
    padding: int
    output_padding: int
    transposed: bool

    @property
    def reach(self) -> int:
        """Distance from the first to the last tap."""
        return self.dilation * (self.kernel - 1)

    def size(self, inputs: int) -> int:
        """Length of the output."""
        if self.transposed:
            grown = (inputs - 1) * self.stride - 2 * self.padding
            return grown + self.reach + self.output_padding + 1
        return (inputs + 2 * self.padding - self.reach - 1) // self.stride + 1

    def needs(self, wanted: Interval, inputs: int) -> Interval:
        """Input positions that an interval of the output depends on, within the input."""
        first, last = wanted[0], wanted[1] - 1
        if self.transposed:
            low = -(-(first + self.padding - self.reach) // self.stride)
            high = (last + self.padding) // self.stride
        else:
            low = first * self.stride - self.padding
            high = last * self.stride - self.padding + self.reach
        return max(low, 0), min(high + 1, inputs)


@dataclass(frozen=True)
class Stack:
    """The convolutions of a network in order, by axis.

    Attributes:
        axes: For each spatial axis its layers.
        channels: Output channels.
    """

    axes: tuple[tuple[Layer, ...], ...]
    channels: int

    def size(self, axis: int, inputs: int) -> int:
        """Length of the output along an axis."""
        for layer in self.axes[axis]:
            inputs = layer.size(inputs)
        return inputs

    def crop(self, axis: int, wanted: Interval, inputs: int) -> tuple[Interval, Interval]:
        """(input to take, where the wanted output lies in what comes out of it)."""
        layers = self.axes[axis]
        sizes = [inputs]
        for layer in layers:
            sizes.append(layer.size(sizes[-1]))
        low, high = wanted
        for layer, size in zip(reversed(layers), reversed(sizes[:-1]), strict=True):
            low, high = layer.needs((low, high), size)
        down = math.prod(layer.stride for layer in layers if not layer.transposed)
        low -= low % down
        origin = low
        for layer in layers:
            origin = origin * layer.stride if layer.transposed else origin // layer.stride
        return (low, high), (wanted[0] - origin, wanted[1] - origin)


def read_stack(network: nn.Module) -> Stack:
    """The convolutions of a sequential network (size-preserving skips are allowed).

    Raises:
        BadInput: It has layers that look further than their neighborhood.
    """
    convolutions: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            convolutions.append(module)
        elif not any(module.children()) and not isinstance(module, (*LOCAL, nn.Dropout)):
            raise BadInput(
                f"{type(module).__name__} looks at the whole volume",
                "convolutions and activations only",
                "Exact tiles are impossible; use generators.windows, which is approximate",
            )
    axes = range(len(convolutions[0].kernel_size))  # type: ignore[arg-type]
    return Stack(
        axes=tuple(tuple(_layer(c, axis) for c in convolutions) for axis in axes),
        channels=convolutions[-1].out_channels,  # type: ignore[arg-type]
    )


def tiled(
    network: nn.Module,
    tensor: torch.Tensor,
    *,
    memory_gb: float | None,
    finish: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Run a convolution stack in as few tiles as the memory limit allows.

    Args:
        network: Convolutions and activations only.
        tensor: (B, C, spatial).
        memory_gb: Limit in GB (1e9 bytes) for everything at once: tensors here, weights of the
            network, headroom for the libraries. None: no tiles.
        finish: Applied to each tile of the output, such as quantization of a latent.

    Returns:
        What the network gives untiled; on the CPU where there was more than one tile.

    Raises:
        BadInput: Not even the smallest tile fits; says how much is needed.
    """
    finish = finish or (lambda tile: tile)
    if memory_gb is None:
        return finish(network(tensor))
    stack = read_stack(network)
    inputs = tuple(tensor.shape[2:])
    whole = tuple(stack.size(axis, n) for axis, n in enumerate(inputs))
    edges = choose_tile(network, stack, tensor, whole, memory_gb)
    if edges == whole:
        return finish(network(tensor))
    out = torch.empty((len(tensor), 0, *whole))
    for place in _places(whole, edges):
        crops = [stack.crop(a, wanted, inputs[a]) for a, wanted in enumerate(place)]
        taken = tuple(slice(*c[0]) for c in crops)
        kept = tuple(slice(*c[1]) for c in crops)
        tile = finish(network(tensor[:, :, *taken])[:, :, *kept])
        if out.shape[1] == 0:
            out = torch.empty((len(tensor), tile.shape[1], *whole), dtype=tile.dtype)
        out[:, :, *(slice(*p) for p in place)] = tile.to(out.device)
    return out


def choose_tile(
    network: nn.Module,
    stack: Stack,
    tensor: torch.Tensor,
    whole: Sequence[int],
    memory_gb: float,
) -> tuple[int, ...]:
    """Edges of the tile of the output that computes least twice among those that fit.

    Raises:
        BadInput: None fits.
    """
    dtype, copies = computed_in(network, tensor.device.type)
    limit = memory_gb * 1e9 - weight_bytes(network) - copies
    limit -= tensor.numel() * tensor.element_size()
    in_tiles = limit
    if tensor.device.type == "cpu":
        in_tiles -= len(tensor) * stack.channels * math.prod(whole) * 4  # the result itself
    options = [
        _options(stack, axis, tensor.shape[2 + axis], size) for axis, size in enumerate(whole)
    ]
    plans = sorted(product(*options), key=lambda plan: math.prod(o.computed for o in plan))

    def needs(plan: Sequence[_Option]) -> float:
        shape = (len(tensor), tensor.shape[1], *(option.largest for option in plan))
        return peak_of(network, shape, dtype) * HEADROOM

    def voxels(plan: Sequence[_Option]) -> int:
        return math.prod(option.largest for option in plan)

    per_voxel = needs(plans[0]) / voxels(plans[0])
    if per_voxel * voxels(plans[0]) <= limit:
        return tuple(whole)
    for plan in plans[1:]:
        # Peaks grow about as the tile does, so most plans need no counting.
        if per_voxel * voxels(plan) <= 1.2 * in_tiles and needs(plan) <= in_tiles:
            return tuple(option.edge for option in plan)
    least = needs(min(plans, key=voxels)) - in_tiles
    raise BadInput(
        f"{max(memory_gb, 0):.2g} GB are left for {'×'.join(map(str, whole))} voxels",
        f"at least {memory_gb + least / 1e9:.2g} GB, for the smallest tiles",
        f"Raise --memory-gb by {1.05 * least / 1e9:.2g}, lower batch_size, or use half precision",
    )


def computed_in(network: nn.Module, kind: str) -> tuple[torch.dtype, int]:
    """(type of the activations, bytes of the copies of weights that autocast makes)."""
    stored = next(network.parameters()).dtype
    if stored != torch.float32 or not torch.is_autocast_enabled(kind):
        return stored, 0
    cast = torch.get_autocast_dtype(kind)
    return cast, weight_bytes(network) * cast.itemsize // stored.itemsize


@dataclass(frozen=True)
class _Option:
    """One way to cut an axis: tile edge, longest input of a tile, input of all tiles together."""

    edge: int
    largest: int
    computed: int


def _options(stack: Stack, axis: int, inputs: int, size: int) -> list[_Option]:
    edges = [size]
    parts = 1
    while edges[-1] > SMALLEST:
        parts += max(1, parts // 4)
        edges.append(-(-size // parts))
    found = []
    for edge in dict.fromkeys(edges):
        spans = [stack.crop(axis, cut, inputs)[0] for cut in _cuts(size, edge)]
        lengths = [high - low for low, high in spans]
        found.append(_Option(edge, max(lengths), sum(lengths)))
    return found


def _cuts(size: int, edge: int) -> list[Interval]:
    return [(start, min(start + edge, size)) for start in range(0, size, edge)]


def _places(whole: Sequence[int], edges: Sequence[int]) -> Iterator[tuple[Interval, ...]]:
    return product(*(_cuts(size, edge) for size, edge in zip(whole, edges, strict=True)))


def _layer(convolution: nn.Module, axis: int) -> Layer:
    def of(name: str) -> int:
        value = getattr(convolution, name)
        return int(value[axis] if isinstance(value, tuple) else value)

    return Layer(
        kernel=of("kernel_size"),
        stride=of("stride"),
        dilation=of("dilation"),
        padding=of("padding"),
        output_padding=of("output_padding"),
        transposed=isinstance(convolution, nn.ConvTranspose2d | nn.ConvTranspose3d),
    )
