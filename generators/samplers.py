"""From noise to a latent: ddpm, ddim and DPM-Solver++ 2M, as pure functions.

Each takes ``predict(noisy, timestep) -> prediction``, the starting noise, the schedule and the
time steps in falling order, works for every prediction type, and yields the state after each
step; the last one is the latent. Randomness comes from one
generator for the batch or from one per sample; with one per sample, a sample does not depend on
which others share its batch.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from audit.errors import BadInput, did_you_mean
from generators.schedules import Schedule

Predict = Callable[[torch.Tensor, int], torch.Tensor]
Rng = torch.Generator | Sequence[torch.Generator] | None
Sampler = Callable[[Predict, torch.Tensor, Schedule, Sequence[int], Rng], Iterator[torch.Tensor]]


def gaussian(like: torch.Tensor, rng: Rng) -> torch.Tensor:
    """Standard normal noise shaped like a tensor, drawn where the generator lives.

    Args:
        like: Gives shape (B, ...), type and device.
        rng: One generator for all, or B of them, one per sample.
    """
    if rng is None or isinstance(rng, torch.Generator):
        source = rng.device if rng is not None else like.device
        # From pinned memory the copy need not wait for what the GPU still computes.
        drawn = torch.randn(
            like.shape,
            generator=rng,
            dtype=like.dtype,
            device=source,
            pin_memory=source.type == "cpu" and like.device.type == "cuda",
        )
        return drawn.to(like.device, non_blocking=True)
    if len(rng) != len(like):
        raise BadInput(f"{len(rng)} generators for {len(like)} samples", "one per sample")
    return torch.cat([gaussian(row[None], g) for row, g in zip(like, rng, strict=True)])


def spaced_timesteps(schedule: Schedule, steps: int) -> list[int]:
    """Multiples of T // steps in falling order, as the official ddpm and ddim take them."""
    _check(schedule, steps)
    stride = schedule.steps // steps
    offset = schedule.config.steps_offset
    return [i * stride + offset for i in reversed(range(steps))]


def even_timesteps(schedule: Schedule, steps: int) -> list[int]:
    """From T - 1 down in equal strides, so that the first step sees the noise it was trained on."""
    _check(schedule, steps)
    return [round(schedule.steps * (steps - i) / steps) - 1 for i in range(steps)]


def ddpm(
    predict: Predict,
    noise: torch.Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    rng: Rng = None,
) -> Iterator[torch.Tensor]:
    """Ancestral sampling (Ho et al. 2020); with fewer than T steps the variances are respaced.

    With all T steps this is the official loop. (That loop keeps one-step variances when it skips
    steps, which leaves noise behind; the respaced ones of Nichol and Dhariwal 2021 do not.)
    """
    x = noise
    for t, previous in _pairs(timesteps, schedule):
        now, before = schedule.alpha_bar(t), schedule.alpha_bar(previous)
        beta = 1 - now / before
        prediction, learned = _split_variance(predict(x, t), x)
        clean, _ = schedule.split(prediction, x, now)
        mean = (
            math.sqrt(before) * beta / (1 - now) * clean
            + math.sqrt(1 - beta) * (1 - before) / (1 - now) * x
        )
        x = mean
        if t != timesteps[-1]:
            small = max((1 - before) / (1 - now) * beta, 1e-20)
            x = x + _deviation(schedule, small, beta, learned) * gaussian(x, rng)
        yield x


def ddim(
    predict: Predict,
    noise: torch.Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    rng: Rng = None,
    *,
    eta: float = 0.0,
) -> Iterator[torch.Tensor]:
    """Deterministic (eta = 0) or partly stochastic sampling (Song et al. 2021)."""
    x = noise
    for t, previous in _pairs(timesteps, schedule):
        now, before = schedule.alpha_bar(t), schedule.alpha_bar(previous)
        prediction, _ = _split_variance(predict(x, t), x)
        clean, epsilon = schedule.split(prediction, x, now)
        sigma = eta * math.sqrt((1 - before) / (1 - now) * (1 - now / before))
        x = math.sqrt(before) * clean + math.sqrt(max(1 - before - sigma**2, 0.0)) * epsilon
        if sigma > 0:
            x = x + sigma * gaussian(x, rng)
        yield x


def dpm_solver(
    predict: Predict,
    noise: torch.Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    rng: Rng = None,  # noqa: ARG001
) -> Iterator[torch.Tensor]:
    """DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095): second order, deterministic.

    First order at the first and last step; the last one goes to alpha_bar = 1.
    """
    x = noise
    last_clean: torch.Tensor | None = None
    last_h = 0.0
    for t, previous in zip(timesteps, [*timesteps[1:], -1], strict=True):
        now, before = schedule.alpha_bar(t), schedule.alpha_bar(previous)
        prediction, _ = _split_variance(predict(x, t), x)
        clean, _ = schedule.split(prediction, x, now)
        if previous < 0:
            yield clean
            return
        h = _half_log_snr(before) - _half_log_snr(now)
        data = clean
        if last_clean is not None:
            data = clean + (clean - last_clean) * (h / last_h / 2)
        shrink = math.sqrt((1 - before) / (1 - now))
        x = shrink * x - math.sqrt(before) * math.expm1(-h) * data
        last_clean, last_h = clean, h
        yield x


SAMPLERS: dict[str, tuple[Sampler, Callable[[Schedule, int], list[int]]]] = {
    "ddpm": (ddpm, spaced_timesteps),
    "ddim": (ddim, spaced_timesteps),
    "dpm-solver++": (dpm_solver, even_timesteps),
}


def find_sampler(name: str) -> tuple[Sampler, Callable[[Schedule, int], list[int]]]:
    """A sampler and its choice of time steps.

    Raises:
        BadInput: There is none of this name.
    """
    if name not in SAMPLERS:
        raise BadInput(f"no sampler '{name}'", did_you_mean(name, SAMPLERS))
    return SAMPLERS[name]


def _pairs(timesteps: Sequence[int], schedule: Schedule) -> list[tuple[int, int]]:
    """Each step with the one it leads to; -1 stands for alpha_bar = 1."""
    end = -1 if schedule.config.set_alpha_to_one else 0
    return list(zip(timesteps, [*timesteps[1:], end], strict=True))


def _check(schedule: Schedule, steps: int) -> None:
    if not 1 <= steps <= schedule.steps:
        raise BadInput(
            f"{steps} sampling steps",
            f"1 to {schedule.steps}, the steps the network was trained with",
            "Change --steps",
        )


def _split_variance(
    prediction: torch.Tensor, noisy: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A network with learned sigma has twice the channels; the second half is the variance."""
    channels = noisy.shape[1]
    if prediction.shape[1] == 2 * channels:
        return prediction[:, :channels], prediction[:, channels:]
    return prediction, None


def _deviation(
    schedule: Schedule, small: float, beta: float, learned: torch.Tensor | None
) -> torch.Tensor | float:
    kind = schedule.config.variance_type
    if kind == "fixed_small":
        return math.sqrt(small)
    if kind == "fixed_large":
        return math.sqrt(beta)
    if learned is None:
        raise BadInput(
            f"variance_type is {kind}, but the network predicts no variance",
            "learn_sigma: true",
            "Use fixed_small",
        )
    if kind == "learned":
        return learned.clamp_min(0).sqrt()
    share = (learned + 1) / 2
    return (share * beta + (1 - share) * small).clamp_min(0).sqrt()


def _half_log_snr(alpha_bar: float) -> float:
    kept = max(alpha_bar, 1e-12)  # 0 with zero terminal SNR
    return 0.5 * math.log(kept / (1 - kept))
