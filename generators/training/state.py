"""What a stage's checkpoint holds beside its step: networks, optimizers, averages, randomness.

Weights in it are always whole; a sharded stage gathers them first and splits them again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from generators.checkpoint import random_state, restore_random_state

if TYPE_CHECKING:
    from generators.training.loop import Trainee

Optimizers = Mapping[str, torch.optim.Optimizer]


def stage_state(
    trainees: "Mapping[str, Trainee]",
    optimizers: Optimizers,
    scaler: torch.amp.GradScaler,
    *,
    sharded: bool,
    keep: bool,
) -> dict[str, Any]:
    """All that training goes on from.

    Args:
        trainees: By name.
        optimizers: By name.
        scaler: Of fp16.
        sharded: Whether the weights are split over the processes; all of them must call then.
        keep: Whether this process needs the result.
    """
    state: dict[str, Any] = {
        "networks": {n: t.network.state_dict() for n, t in trainees.items()},
        "optimizers": {n: o.state_dict() for n, o in optimizers.items()},
        "ema": {n: t.ema.shadow for n, t in trainees.items() if t.ema is not None},
        "scaler": scaler.state_dict(),
        "random": random_state(),
    }
    if sharded:
        from generators.training.sharding import gather

        state = gather(state, keep=keep)
    return state


def load_stage_state(
    state: dict[str, Any],
    trainees: "Mapping[str, Trainee]",
    optimizers: Optimizers,
    scaler: torch.amp.GradScaler,
    *,
    sharded: bool,
) -> None:
    """Set everything to what ``stage_state`` saw."""
    if sharded:
        _split(state, trainees, optimizers)
    for name, trainee in trainees.items():
        trainee.network.load_state_dict(state["networks"][name])
        optimizers[name].load_state_dict(state["optimizers"][name])
        if trainee.ema is not None:
            trainee.ema.load(state["ema"][name])
    scaler.load_state_dict(state["scaler"])
    restore_random_state(state["random"])


def _split(
    state: dict[str, Any], trainees: "Mapping[str, Trainee]", optimizers: Optimizers
) -> None:
    """Each process keeps its part."""
    from generators.training.sharding import scatter, scatter_optimizer

    for name, trainee in trainees.items():
        like = trainee.network.state_dict()
        state["networks"][name] = scatter(state["networks"][name], like)
        state["optimizers"][name] = scatter_optimizer(state["optimizers"][name], optimizers[name])
        if trainee.ema is not None:
            state["ema"][name] = scatter(state["ema"][name], trainee.ema.shadow)
