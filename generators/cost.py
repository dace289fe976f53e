"""What drawing a sample takes, counted and not measured: denoiser calls and FLOPs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

if TYPE_CHECKING:
    from generators.latent import LatentModel

_COUNTED: WeakKeyDictionary[Any, dict[tuple[Any, ...], int | None]] = WeakKeyDictionary()


class Cost:
    """Counts the calls that a model's samplers make, and what a call computes, once a model.

    Every pass of a sample through the denoiser is a call, so guidance makes two a step. FLOPs are
    those of adapter, denoiser and decoder; embedding a mask, once a sample, is left out. Decoding
    is counted as if in one piece: exact tiles compute their margins twice.
    """

    def __init__(self, model: "LatentModel") -> None:
        self._model = model
        self._calls = model.calls

    def of_sampling(self, asked: Mapping[str, Any]) -> dict[str, float]:
        """``denoiser_calls`` since the last call, and ``flops`` where they can be counted.

        Args:
            asked: ``noise`` (B, C, grid), ``labels`` and ``condition`` of the batch just drawn.
        """
        noise, labels, condition = asked["noise"], asked["labels"], asked["condition"]
        key = ("call", *noise.shape[1:], *(condition.shape[1:] if condition is not None else ()))
        each = self._once(key, lambda: flops_per_call(self._model, noise, labels, condition))
        calls, self._calls = self._model.calls - self._calls, self._model.calls
        return {"denoiser_calls": calls, **_flops(calls, each)}

    def of_decoding(self, latent: torch.Tensor) -> dict[str, float]:
        """``flops`` of decoding one latent (C, grid), where they can be counted."""
        decode = self._model.stage1.decode
        each = self._once(
            ("decoding", *latent.shape), lambda: flops_of(lambda: decode(latent[None], None))
        )
        return _flops(1, each)

    def _once(self, key: tuple[Any, ...], count: Callable[[], int | None]) -> int | None:
        known = _COUNTED.setdefault(self._model, {})
        if key not in known:
            known[key] = count()
        return known[key]


def flops_of(call: Callable[[], Any]) -> int | None:
    """FLOPs of the matrix products, convolutions and attention in a call, on tensors without data.

    One multiplication with its addition counts as two. Nothing is computed: a minute-long pass is
    counted in well under a second, the same on every machine.

    Returns:
        The count; None where the call looks at values, which such tensors do not have.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with (
            torch.compiler.set_stance("force_eager"),
            torch.inference_mode(),
            FakeTensorMode(allow_non_fake_inputs=True),
            counter,
        ):
            call()
    except Exception:  # noqa: BLE001 - whatever a network does there, it costs a count and no run
        return None
    return int(counter.get_total_flops())


def flops_per_call(
    model: "LatentModel",
    noise: torch.Tensor,
    labels: torch.Tensor | None = None,
    condition: torch.Tensor | None = None,
) -> int | None:
    """FLOPs of one pass of adapter and denoiser for one sample.

    Args:
        model: Whose denoiser.
        noise: (B, C, grid), of which the first is taken.
        labels: Class of each sample, (B,) int64.
        condition: Mask channels (B, K, spatial).
    """
    one = noise[:1].to(next(model.denoiser.parameters()).dtype)
    time = torch.zeros(1, dtype=torch.int64, device=noise.device)
    label = labels[:1] if labels is not None else None
    if condition is None:
        return flops_of(lambda: model.predict(one, time, label, None, 1.0))
    with torch.inference_mode():
        embedded = model.embed_condition(condition[:1], tuple(noise.shape[2:]))
    return flops_of(lambda: model.predict(one, time, label, embedded, 1.0))


def _flops(times: int, each: int | None) -> dict[str, float]:
    return {} if each is None else {"flops": times * each}
