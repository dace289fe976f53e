"""Counts the bytes of tensors that are alive at once, also for sizes that fit no machine here.

On the meta device nothing is computed or stored, so a 512×512×256 decoder is counted in
milliseconds. What libraries allocate inside one operation (convolution workspaces) is not seen:
``HEADROOM`` allows for it.
"""

import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from audit.errors import BadInput

HEADROOM = 1.25
REFUSED = re.compile(r"tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)", re.IGNORECASE)
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class LiveBytes(TorchDispatchMode):
    """While active, tracks the storages that operations make.

    Attributes:
        now: Bytes alive.
        peak: Most bytes alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and note what it made."""
        del types
        given = {_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and _key(tensor) not in given | self._known:
                self._note(tensor.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def live_bytes(call: Callable[[], Any]) -> int:
    """Most bytes that tensors made by a call take at once; what existed before is not counted."""
    with torch.no_grad(), LiveBytes() as counted:
        result = call()
    del result
    return counted.peak


def peak_of(
    network: torch.nn.Module, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> int:
    """Bytes that a network's forward takes at its peak, input and output included, unrun."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    empty = {
        name: torch.empty_like(
            value, device="meta", dtype=dtype if value.is_floating_point() else None
        )
        for name, value in state.items()
    }
    tensor = torch.empty(tuple(shape), device="meta", dtype=dtype)
    return live_bytes(lambda: functional_call(network, empty, (tensor,))) + (
        tensor.numel() * tensor.element_size()
    )


def weight_bytes(network: torch.nn.Module) -> int:
    """Bytes of parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors)


@contextmanager
def memory_to_spare(doing: str, remedy: str) -> Iterator[None]:
    """Say in one line what an allocation that torch could not make was for.

    Args:
        doing: What needs the memory.
        remedy: Options that lower the need.

    Raises:
        BadInput: An allocation failed, on the CPU or on a GPU.
    """
    try:
        yield
    except RuntimeError as error:  # the CPU's allocator raises no class of its own
        refused = REFUSED.search(str(error))
        if refused is None:
            raise
        size = float(refused[1]) * UNITS[refused[2]] / 1e9
        raise BadInput(
            f"{doing} needs another {size:.3g} GB, which are not free", "enough memory", remedy
        ) from error
