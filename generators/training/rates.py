"""Learning rate as a function of the step, so that resuming needs no scheduler state."""

import math

from generators.recipe import Optimization


def rate_factor(settings: Optimization, step: int, cases: int) -> float:
    """Share of the peak learning rate at a step (counted from 0)."""
    per_epoch = settings.steps_per_epoch(cases)
    warmup = settings.warmup_epochs * per_epoch
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "exponential":
        return float(settings.gamma ** ((step - warmup) // per_epoch))
    if settings.schedule == "cosine":
        total = max(settings.total_steps(cases) - warmup, 1)
        done = min((step - warmup) / total, 1.0)
        return settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * done)) / 2
    return 1.0
