"""Membership inference against a diffusion model through one callback: its noise prediction.

What a generator of ours gives as ``generator.membership_target()``; the attacks return one score a
case. Members score lower in the papers. PIA and SecMI start from the clean latent without noise and
measure how much the predicted noise changes from one timestep to another: a model that has learned
few patients by heart changes more on them than on others, whose details it takes for noise at all
timesteps alike, and members score higher (docs/over-training.md).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from audit.cohort import Case

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MembershipTarget:
    """A diffusion model as the attacks see it.

    Attributes:
        latent: The scaled clean latent (1, ...) of a case, deterministic.
        noise: Predicted noise of noisy latents (b, ...) at one timestep.
        alpha_bar: Cumulative signal share (T,) of the schedule.
    """

    latent: Callable[[Case], torch.Tensor]
    noise: Callable[[torch.Tensor, int], torch.Tensor]
    alpha_bar: torch.Tensor


def loss_score(target: MembershipTarget, case: Case, seed: int, *, levels: int = 6) -> float:
    """Mean squared error of the predicted noise over timesteps from 5 % to 60 % of the schedule.

    References:
        The loss threshold of Carlini et al. 2023, arXiv:2301.13188.
    """
    clean = target.latent(case)
    rng = torch.Generator().manual_seed(seed)
    steps = np.unique(np.linspace(0.05, 0.6, levels) * (len(target.alpha_bar) - 1)).astype(int)
    errors = []
    for step in steps:
        noise = torch.randn(clean.shape, generator=rng).to(clean)
        noisy = _mix(target, clean, noise, int(step))
        errors.append(float((target.noise(noisy, int(step)) - noise).square().mean()))
    return float(np.mean(errors))


def pia_score(target: MembershipTarget, case: Case, *, level: float = 0.2) -> float:
    """Proximal initialization: the model's own noise at t = 0 is added back and predicted again.

    References:
        Kong et al. 2023, arXiv:2305.18355; the fourth power of the 4-norm.
    """
    clean = target.latent(case)
    step = round(level * (len(target.alpha_bar) - 1))
    own = target.noise(clean, 0)
    again = target.noise(_mix(target, clean, own, step), step)
    return float((own - again).pow(4).sum())


def secmi_score(
    target: MembershipTarget, case: Case, *, level: float = 0.1, jumps: int = 10
) -> float:
    """Deterministic inversion up to a timestep, then the error of one step on and back.

    References:
        Duan et al. 2023, arXiv:2302.01316.
    """
    top = max(2, round(level * (len(target.alpha_bar) - 1)))
    steps = np.unique(np.linspace(0, top, jumps + 1).astype(int))
    state = target.latent(case)
    for low, high in itertools.pairwise(steps):
        state = _jump(target, state, int(low), int(high))
    size = max(1, int(steps[-1] - steps[-2]))
    beyond = min(top + size, len(target.alpha_bar) - 1)
    back = _jump(target, _jump(target, state, top, beyond), beyond, top)
    return float((back - state).square().mean())


def true_positives_at(members: Scores, others: Scores, false_positives: float) -> float:
    """Share of members below the threshold that at most this share of the others is below."""
    allowed = int(np.floor(false_positives * len(others) + 1e-9))
    threshold = np.sort(others)[allowed]
    return float((members < threshold).mean())


def _mix(
    target: MembershipTarget, clean: torch.Tensor, noise: torch.Tensor, step: int
) -> torch.Tensor:
    a = float(target.alpha_bar[step])
    return a**0.5 * clean + (1 - a) ** 0.5 * noise


def _jump(target: MembershipTarget, state: torch.Tensor, start: int, end: int) -> torch.Tensor:
    """One DDIM step without noise, in either direction."""
    a, b = float(target.alpha_bar[start]), float(target.alpha_bar[end])
    noise = target.noise(state, start)
    clean = (state - (1 - a) ** 0.5 * noise) / a**0.5
    return b**0.5 * clean + (1 - b) ** 0.5 * noise
