"""Noise schedules and what a prediction means, in the names that the official YAML files use.

alpha_bar_t is the product of (1 - beta) up to t; noisy = sqrt(alpha_bar) clean +
sqrt(1 - alpha_bar) noise. Everything is kept in float64 and applied in the tensor's own type.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field, model_validator

from audit.result import Record

ScheduleName = Literal["linear_beta", "scaled_linear_beta", "sigmoid_beta", "cosine"]
Prediction = Literal["epsilon", "sample", "v_prediction"]
Variance = Literal["fixed_small", "fixed_large", "learned", "learned_range"]


class ScheduleConfig(Record):
    """The ``scheduler`` section of an official YAML.

    Attributes:
        schedule: Shape of the betas.
        num_train_timesteps: T.
        prediction_type: What the network predicts.
        variance_type: Variance of ancestral (DDPM) steps.
        clip_sample: Whether predicted clean latents are clipped to [-1, 1] at each step.
        set_alpha_to_one: Whether DDIM's last step goes to alpha_bar = 1, else to alpha_bar_0.
        steps_offset: Added to the time steps of DDIM.
        zero_terminal_snr: Rescale so that the last step is pure noise (Lin et al. 2023).
        beta_start: First beta of the linear and sigmoid schedules.
        beta_end: Last beta of the linear and sigmoid schedules.
        sig_range: Half width of the sigmoid.
        s: Offset of the cosine schedule.
    """

    schedule: ScheduleName = "linear_beta"
    num_train_timesteps: int = Field(1000, ge=1)
    prediction_type: Prediction = "epsilon"
    variance_type: Variance = "fixed_small"
    clip_sample: bool = False
    set_alpha_to_one: bool = True
    steps_offset: int = Field(0, ge=0)
    zero_terminal_snr: bool = False
    beta_start: float = Field(1e-4, gt=0, lt=1)
    beta_end: float = Field(2e-2, gt=0, lt=1)
    sig_range: float = Field(6.0, gt=0)
    s: float = Field(8e-3, ge=0)

    @model_validator(mode="after")
    def _finite_at_every_step(self) -> "ScheduleConfig":
        if self.zero_terminal_snr and self.prediction_type == "epsilon":
            raise ValueError(
                "zero_terminal_snr leaves no signal at the last step, where epsilon says nothing "
                "about the clean latent; use v_prediction"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A noise schedule ready to use.

    Attributes:
        betas: (T,) float64.
        alphas_cumprod: alpha_bar, (T,) float64.
        config: Where they come from.
    """

    betas: torch.Tensor
    alphas_cumprod: torch.Tensor
    config: ScheduleConfig

    @property
    def steps(self) -> int:
        """T, the number of training time steps."""
        return len(self.betas)

    def alpha_bar(self, timestep: int) -> float:
        """alpha_bar at a time step; 1 before the first one."""
        return self._numbers[timestep] if timestep >= 0 else 1.0

    def add_noise(
        self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """The noisy latent at ``timesteps`` (B,)."""
        signal, sigma = self._scales(clean, timesteps)
        return signal * clean + sigma * noise

    def velocity(
        self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """V = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) clean (Salimans and Ho 2022)."""
        signal, sigma = self._scales(clean, timesteps)
        return signal * noise - sigma * clean

    def target(
        self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """What the network is trained to predict."""
        if self.config.prediction_type == "epsilon":
            return noise
        if self.config.prediction_type == "sample":
            return clean
        return self.velocity(clean, noise, timesteps)

    def split(
        self, prediction: torch.Tensor, noisy: torch.Tensor, alpha_bar: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(clean, noise) that a prediction implies, whatever its type.

        Args:
            prediction: Output of the network without variance channels.
            noisy: What the network saw.
            alpha_bar: At this step.
        """
        signal, sigma = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        if self.config.prediction_type == "v_prediction":
            clean = signal * noisy - sigma * prediction
            noise = signal * prediction + sigma * noisy
        elif self.config.prediction_type == "sample":
            clean = prediction
            noise = (noisy - signal * prediction) / sigma
        else:
            clean = (noisy - sigma * prediction) / signal
            noise = prediction
        return (clean.clamp(-1, 1) if self.config.clip_sample else clean), noise

    @cached_property
    def _numbers(self) -> list[float]:
        """alpha_bar as plain numbers: samplers do their arithmetic outside of tensors."""
        return [float(value) for value in self.alphas_cumprod.tolist()]

    def _scales(
        self, like: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Tables go to the device, not time steps to the CPU: that would wait for the GPU.
        tables = (self.alphas_cumprod.sqrt(), (1 - self.alphas_cumprod).sqrt())
        shape = (-1, *[1] * (like.ndim - 1))
        signal, sigma = (
            table.to(like.device, like.dtype)[timesteps.to(like.device)].view(shape)
            for table in tables
        )
        return signal, sigma


def build_schedule(config: ScheduleConfig) -> Schedule:
    """Betas and alpha_bar of a configuration.

    The linear shapes are computed in float32 and the cosine (Nichol and Dhariwal 2021) in float64
    with betas clipped to 0.9999, as the official code does.
    """
    betas = _betas(config)
    alpha_bar = torch.cumprod(1 - betas, dim=0).double()
    betas = betas.double()
    if config.zero_terminal_snr:
        root = alpha_bar.sqrt()
        root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        alpha_bar = root**2
        betas = 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return Schedule(betas=betas, alphas_cumprod=alpha_bar, config=config)


def _betas(config: ScheduleConfig) -> torch.Tensor:
    count, low, high = config.num_train_timesteps, config.beta_start, config.beta_end
    if config.schedule == "linear_beta":
        return torch.linspace(low, high, count)
    if config.schedule == "scaled_linear_beta":
        return torch.linspace(low**0.5, high**0.5, count) ** 2
    if config.schedule == "sigmoid_beta":
        ramp = torch.linspace(-config.sig_range, config.sig_range, count)
        return torch.sigmoid(ramp) * (high - low) + low
    time = torch.linspace(0, 1, count + 1, dtype=torch.float64)
    curve = torch.cos((time + config.s) / (1 + config.s) * math.pi / 2) ** 2
    return (1 - curve[1:] / curve[:-1]).clamp(0, 0.9999)
