"""Overlapping windows for networks with normalization or attention, where tiles cannot be exact.

Approximate: the statistics of a window are not those of the volume. It is said when it happens.
"""

from collections.abc import Callable, Sequence

import torch
from monai.networks.nets.autoencoderkl import AEKLDownsample, AutoencoderKL
from torch import nn

from audit.errors import BadInput
from audit.progress import say
from generators.memory import HEADROOM, peak_of, weight_bytes
from generators.tiles import computed_in

SMALLEST = 4
APPROXIMATE = (
    "memory limit: the autoencoder normalizes over its input, so that windows of {} (of {}) are "
    "approximate; a larger --memory-gb is exact"
)

Run = Callable[[torch.Tensor], torch.Tensor]


def kl_pass(
    network: AutoencoderKL, views: torch.Tensor, memory_gb: float | None, *, encodes: bool
) -> torch.Tensor:
    """An AutoencoderKL on views (B, C, spatial): to the mean of their latents, or back.

    Without a limit all at once; under one view by view, in windows where one does not fit.
    """

    def run(part: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = network.encode(part)[0] if encodes else network.decode(part)
        return made

    if memory_gb is None:
        return run(views)
    part = network.encoder if encodes else network.decoder
    halvings = sum(isinstance(m, AEKLDownsample) for m in network.encoder.modules())
    multiple = 2**halvings if encodes else 1
    return torch.cat(
        [windowed(run, part, v, memory_gb=memory_gb, multiple=multiple) for v in views.split(1)]
    )


def windowed(
    run: Run, network: nn.Module, tensor: torch.Tensor, *, memory_gb: float | None, multiple: int
) -> torch.Tensor:
    """Run in one piece where the memory suffices, else in windows, which is approximate.

    Args:
        run: (1, C, spatial) to its output.
        network: Does nearly all of the work in ``run``; its memory is counted.
        tensor: (1, C, spatial).
        memory_gb: Limit in GB (1e9 bytes) for tensors and the network's weights; None for none.
        multiple: What the sizes of a window must divide by.

    Raises:
        BadInput: Not even the smallest window fits; says how much is needed.
    """
    sizes = tuple(tensor.shape[2:])
    window = sizes
    if memory_gb is not None:
        window = choose_window(network, tensor, memory_gb, multiple)
    if window == sizes:
        return run(tensor)
    say(APPROXIMATE.format("×".join(map(str, window)), "×".join(map(str, sizes))))
    return sliding(run, tensor, window)


def choose_window(
    network: nn.Module, tensor: torch.Tensor, memory_gb: float, multiple: int
) -> tuple[int, ...]:
    """The whole, or with its longest edge halved until the memory suffices."""
    dtype, copies = computed_in(network, tensor.device.type)
    limit = memory_gb * 1e9 - weight_bytes(network) - copies
    window = list(tensor.shape[2:])
    while True:
        need = peak_of(network, (1, tensor.shape[1], *window), dtype) * HEADROOM
        if need <= limit:
            return tuple(window)
        longest = max(range(len(window)), key=lambda axis: window[axis])
        half = -(-window[longest] // (2 * multiple)) * multiple
        if half < SMALLEST * multiple or half == window[longest]:
            raise BadInput(
                f"{max(memory_gb, 0):.2g} GB are left for an autoencoder",
                f"at least {memory_gb + (need - limit) / 1e9:.2g} GB, for the smallest windows",
                f"Raise --memory-gb by {1.05 * (need - limit) / 1e9:.2g}",
            )
        window[longest] = half


def sliding(
    run: Run, tensor: torch.Tensor, window: Sequence[int], *, overlap: float = 0.25
) -> torch.Tensor:
    """Overlapping windows blended by a Gaussian, gathered on the CPU.

    Args:
        run: Maps (1, C, window) to its output.
        tensor: (B, C, spatial).
        window: Sizes of a window.
        overlap: Share of a window that neighbors share.
    """
    from monai.inferers import sliding_window_inference

    window = [min(w, n) for w, n in zip(window, tensor.shape[2:], strict=True)]
    made = sliding_window_inference(
        tensor, window, 1, run, overlap=overlap, mode="gaussian", device=torch.device("cpu")
    )
    assert isinstance(made, torch.Tensor)
    return made
