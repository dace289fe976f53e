"""LatentModel: first stage, denoiser, optional adapter and schedule of one latent diffusion model.

Tensors are in the official order of the family: voldit and medlord (B, 1, H, W, D); cardiodit
(B, 1, H, W, D, T) whose latent is (B, C, D, h, w, t); ldm (B, 1, spatial). The classes under
``generators/models`` translate from and to the suite's ``c t z y x``.

A family whose networks take masks or labels another way overrides ``embed_condition`` (once per
sample) and ``predict`` (once per step); ``denoise`` and ``sample_latent`` are built on these.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from audit.errors import BadInput
from generators.memory import weight_bytes
from generators.samplers import Predict, Rng, find_sampler
from generators.schedules import Schedule
from generators.tiles import tiled


class LatentModel(nn.Module):
    """What all four families share once they are built.

    Attributes:
        stage1: First stage with ``encode``, ``decode`` and ``factor`` (voxels of the image that
            one of the latent covers, per axis).
        denoiser: Predicts epsilon, sample or velocity from (noisy, timesteps, labels, control).
        adapter: TGCA or ControlNet; None for an unconditional model.
        schedule: Noise schedule and prediction type.
        scale_factor: The denoiser sees ``latent * scale_factor``.
        memory_gb: Limit (1e9 bytes) that encoding, decoding and mask embedding keep to by exact
            tiles; None for no tiles.
        calls: Passes of single samples through adapter and denoiser while sampling, so far.
    """

    memory_gb: float | None = None
    calls: int = 0

    def __init__(
        self,
        *,
        stage1: nn.Module,
        denoiser: nn.Module,
        schedule: Schedule,
        adapter: nn.Module | None = None,
        scale_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.stage1: Any = stage1
        self.denoiser: Any = denoiser
        self.adapter: Any = adapter
        self.schedule = schedule
        self.scale_factor = scale_factor

    def encode(self, image: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Image to (unscaled) latent; quantized for a VQ model, as the second stage learns it.

        Args:
            image: In the family's order.
            memory_gb: Limit for everything on the device, kept by exact tiles; in place of the
                attribute.

        Raises:
            BadInput: The limit is too low for the smallest tiles.
        """
        return self.stage1.encode(image, self._left_for(self.stage1, memory_gb))

    def decode(self, latent: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Unscaled latent to image; a VQ model quantizes first, as the official code does.

        Args:
            latent: In the family's order.
            memory_gb: As in ``encode``.

        Returns:
            The image, on the CPU where it was put together from tiles.

        Raises:
            BadInput: The limit is too low for the smallest tiles.
        """
        return self.stage1.decode(latent, self._left_for(self.stage1, memory_gb))

    def denoise(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,
        condition: torch.Tensor | None = None,
        conditioning_scale: float = 1.0,
    ) -> torch.Tensor:
        """The denoiser's prediction.

        Args:
            noisy: Scaled noisy latent (B, C, grid).
            timesteps: (B,) int64.
            labels: Class of each sample, (B,) int64.
            condition: Mask channels (B, K, spatial) at image resolution.
            conditioning_scale: Multiplies what the adapter adds.

        Raises:
            BadInput: A condition that does not fit, or without an adapter.
        """
        embedded = None
        if condition is not None:
            embedded = self.embed_condition(condition, tuple(noisy.shape[2:]))
        return self.predict(noisy, timesteps, labels, embedded, conditioning_scale)

    def predict(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None,
        embedded: Any,
        conditioning_scale: float,
        modulations: Sequence[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """One pass of adapter and denoiser, with what was computed before.

        Args:
            noisy: As in ``denoise``.
            timesteps: As in ``denoise``.
            labels: As in ``denoise``.
            embedded: From ``embed_condition``, or None.
            conditioning_scale: As in ``denoise``.
            modulations: What ``DiT.modulate_all`` holds for this step, or None.
        """
        control = None
        if embedded is not None:
            control = self.adapter(
                self.denoiser, embedded, noisy, timesteps, labels, conditioning_scale
            )
        known = {} if modulations is None else {"modulations": modulations}
        return self.denoiser(noisy, timesteps, labels, control, **known)

    def adapter_parts(self) -> list[nn.Module]:
        """What is trained with the adapter: itself, and the base's last blocks where it says so."""
        config = getattr(self.adapter, "config", None)
        blocks = getattr(config, "finetune_last_n_blocks", 0)
        if not blocks:
            return [self.adapter]
        return [self.adapter, *self.denoiser.blocks[-blocks:], self.denoiser.final_layer]

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """``denoise``, so that a wrapper such as DDP can stand around the model."""
        return self.denoise(*args, **kwargs)

    def embed_condition(self, condition: torch.Tensor, grid: tuple[int, ...]) -> Any:
        """What the adapter needs of a mask, once per sample.

        Args:
            condition: Mask channels (B, K, spatial) at image resolution.
            grid: Spatial sizes of the latent.

        Raises:
            BadInput: No adapter, another number of channels, or another grid.
        """
        if self.adapter is None:
            raise BadInput(
                "a condition for a model without an adapter",
                "adapter_config and adapter_checkpoint",
                "Load the model with its adapter or sample without conditions",
            )
        wanted = self.adapter.embedder.inputs
        if condition.shape[1] != wanted:
            raise BadInput(
                f"a condition of {condition.shape[1]} channels",
                f"{wanted}, as the adapter was trained with",
                "Give one channel for each of its condition_keys, in that order",
            )
        image = tuple(n * f for n, f in zip(grid, self.stage1.factor, strict=True))
        if self.adapter.resizes and tuple(condition.shape[2:]) != image:
            raise BadInput(
                f"a mask on a grid of {tuple(condition.shape[2:])}",
                f"{image}, the image grid of this latent",
                "Resample, crop or pad the masks as the images",
            )
        dtype = next(self.adapter.parameters()).dtype
        features = tiled(
            self.adapter.embedder,
            condition.to(dtype),
            memory_gb=self._left_for(self.adapter.embedder, None),
        )
        return self.adapter.embed(features.to(condition.device), grid)

    @torch.no_grad()
    def sample_latent(
        self,
        noise: torch.Tensor,
        *,
        steps: int,
        sampler: str = "ddim",
        labels: torch.Tensor | None = None,
        condition: torch.Tensor | None = None,
        rng: Rng = None,
        guidance: float = 1.0,
        conditioning_scale: float = 1.0,
        on_step: Callable[[int], None] | None = None,
    ) -> torch.Tensor:
        """Integrate from noise to a latent, still scaled.

        What does not change between steps is computed once: the mask's embedding, and for a DiT
        the AdaLN modulations of the whole schedule.

        Args:
            noise: Standard normal (B, C, grid).
            steps: Number of steps, at most the schedule's.
            sampler: ``ddim``, ``ddpm`` or ``dpm-solver++``.
            labels: Class of each sample, (B,) int64.
            condition: Mask channels (B, K, spatial) at image resolution.
            rng: Generator for the batch, or one per sample, for samplers that draw noise.
            guidance: Classifier-free guidance: 1 is none, more follows label and mask harder.
            conditioning_scale: Multiplies what the adapter adds.
            on_step: Called after each step with the number of steps done.
        """
        integrate, choose = find_sampler(sampler)
        timesteps = choose(self.schedule, steps)
        predict = self._predictor(noise, timesteps, labels, condition, conditioning_scale)
        if guidance != 1:
            free = self._free_predictor(noise, timesteps, labels, condition, conditioning_scale)
            predict = _guided(predict, free, guidance)
        states = integrate(predict, noise, self.schedule, timesteps, rng)
        return _last(states, on_step)

    def _left_for(self, part: nn.Module, memory_gb: float | None) -> float | None:
        """What the limit leaves beside the weights of the other parts."""
        limit = memory_gb if memory_gb is not None else self.memory_gb
        if limit is None:
            return None
        return limit - (weight_bytes(self) - weight_bytes(part)) / 1e9

    def _predictor(
        self,
        noise: torch.Tensor,
        timesteps: Sequence[int],
        labels: torch.Tensor | None,
        condition: torch.Tensor | None,
        conditioning_scale: float,
    ) -> Predict:
        embedded = (
            self.embed_condition(condition, tuple(noise.shape[2:]))
            if condition is not None
            else None
        )
        modulated = getattr(self.denoiser, "modulate_all", None)
        modulations = modulated(timesteps, labels) if modulated is not None else None
        position = {t: i for i, t in enumerate(timesteps)}
        dtype = next(self.denoiser.parameters()).dtype

        def predict(noisy: torch.Tensor, timestep: int) -> torch.Tensor:
            self.calls += len(noisy)
            times = torch.full((len(noisy),), timestep, device=noisy.device)
            now = modulations.at(position[timestep]) if modulations is not None else None
            made = self.predict(noisy.to(dtype), times, labels, embedded, conditioning_scale, now)
            return made.to(noisy.dtype)

        return predict

    def _free_predictor(
        self,
        noise: torch.Tensor,
        timesteps: Sequence[int],
        labels: torch.Tensor | None,
        condition: torch.Tensor | None,
        conditioning_scale: float,
    ) -> Predict:
        """The same without label and mask, as training with dropout has shown them."""
        if labels is None and condition is None:
            raise BadInput("guidance without anything to follow", "labels or conditions")
        if labels is not None:
            null_labels = getattr(self.denoiser, "null_labels", None)
            if null_labels is None:
                raise BadInput("guidance by labels on a U-Net", "a DiT", "Set guidance to 1")
            labels = null_labels(len(noise))
        if condition is not None:
            condition = torch.zeros_like(condition)
        return self._predictor(noise, timesteps, labels, condition, conditioning_scale)


def _guided(follow: Predict, free: Predict, guidance: float) -> Predict:
    def predict(noisy: torch.Tensor, timestep: int) -> torch.Tensor:
        base = free(noisy, timestep)
        return base + guidance * (follow(noisy, timestep) - base)

    return predict


def _last(states: Iterable[torch.Tensor], on_step: Callable[[int], None] | None) -> torch.Tensor:
    """The last state, without keeping those before it."""

    def counted() -> Iterable[torch.Tensor]:
        for done, state in enumerate(states, start=1):
            if on_step is not None:
                on_step(done)
            yield state

    return deque(counted(), maxlen=1)[0]
