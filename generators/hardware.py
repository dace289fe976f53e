"""Where and how networks run: device, autocast, compilation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

AUTOCAST = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def best_device() -> torch.device:
    """This process's GPU, as ``torchrun`` numbers them; the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


@contextmanager
def autocast(network: nn.Module, precision: str) -> Iterator[None]:
    """Run a network's layers in ``bf16`` or ``fp16`` for a block; ``no`` leaves all as it is.

    Autocast converts a weight once per block only where it could be trained, and never in
    inference mode; else it converts all weights again at every step. So weights count as trainable
    in the block, where no gradient is recorded.
    """
    first = next(network.parameters())
    frozen = [p for p in network.parameters() if precision != "no" and not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad = True
    kind = first.device.type
    try:
        with (
            torch.no_grad(),
            torch.autocast(kind, dtype=AUTOCAST[precision], enabled=precision != "no"),
        ):
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad = False


@contextmanager
def sound_convolutions(device: torch.device, precision: str) -> Iterator[None]:
    """Train in half precision on a CPU without oneDNN.

    Its weight gradient of a bf16 convolution over 2 x 2 x 2 voxels reads memory that nobody wrote
    (seen with torch 2.15 on a CPU with AVX512-BF16): mostly something small, at times NaN.
    """
    if device.type != "cpu" or precision == "no":
        yield
        return
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment] # a property of the module
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def compile_denoiser(denoiser: nn.Module) -> None:
    """Let ``torch.compile`` fuse a denoiser when it first runs.

    The blocks of a transformer are alike, so that one of them is compiled and serves all; a U-Net
    is compiled whole.
    """
    blocks = getattr(denoiser, "blocks", None)
    for part in blocks if isinstance(blocks, nn.ModuleList) else [denoiser]:
        part.compile()
