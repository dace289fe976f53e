"""FSDP: a network's weights, gradients, optimizer and averages split over all processes.

By torch's ``fully_shard`` under ``torchrun``. Checkpoints hold whole weights, so a training
continues on any number of processes, sharded or not.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from generators.training.memory import BLOCK_LISTS


def hollow(network: torch.nn.Module) -> torch.nn.Module:
    """A copy of a network whose weights take no memory, to be filled after the training."""
    twin = copy.deepcopy(network)
    for module in twin.modules():
        for name, weight in module.named_parameters(recurse=False):
            empty = torch.nn.Parameter(weight.to("meta"), requires_grad=False)
            setattr(module, name, empty)
    return twin


def shard(network: torch.nn.Module, device: torch.device, processes: int) -> None:
    """Split a network in place: each of its blocks, then the rest."""
    mesh = init_device_mesh(device.type, (processes,))
    for module in list(network.modules()):
        for name in BLOCK_LISTS:
            blocks = getattr(module, name, None)
            for block in blocks if isinstance(blocks, torch.nn.ModuleList) else ():
                fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def gather(tree: Any, *, keep: bool = True) -> Any:
    """A nested state with whole tensors; all processes must call it, some may drop the result."""
    if isinstance(tree, DTensor):
        whole = tree.full_tensor()
        return whole if keep else None
    if isinstance(tree, Mapping):
        return {name: gather(value, keep=keep) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(gather(value, keep=keep) for value in tree)
    return tree


def scatter(state: Mapping[str, Any], like: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Whole tensors by name, each split as the one of that name in ``like`` is."""
    return {name: _split(value, like.get(name)) for name, value in state.items()}


def scatter_optimizer(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """A stored optimizer state, its tensors split as the weights they belong to."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = {
        place: {name: _split(value, weights[place]) for name, value in one.items()}
        for place, one in state["state"].items()
    }
    return {**state, "state": moments}


def _split(value: Any, like: torch.Tensor | None) -> Any:
    if not isinstance(like, DTensor) or getattr(value, "shape", None) != like.shape:
        return value
    whole = value.to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
