"""Device, autocast and compilation: the same numbers, with less work."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from micro import micro_recipe
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from generators.hardware import autocast, best_device, compile_denoiser, sound_convolutions
from generators.networks.dit import DiT
from generators.networks.dit_config import DiTConfig
from generators.protocol import GENERATORS
from generators.recipe import parse
from generators.seeds import seeded_globally


def dit():
    config = DiTConfig(
        input_size=(4, 4, 2), patch_size=2, in_channels=3, hidden_size=12, depth=4, num_heads=2
    )
    network, rng = DiT(config).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.2)
    return network


@pytest.mark.parametrize(("rank", "gpus", "wanted"), [("0", 1, 0), ("3", 4, 3), ("5", 4, 1)])
def test_every_process_under_torchrun_takes_a_gpu_of_its_own(monkeypatch, rank, gpus, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert best_device() == torch.device("cuda", wanted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert best_device() == torch.device("cpu")


class Conversions(TorchDispatchMode):
    """Counts conversions of large tensors: weights, not activations."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "_to_copy" in str(func) and args[0].ndim == 2 and len(args[0]) == 512:
            self.count += 1
        return func(*args, **(kwargs or {}))


def test_autocast_converts_a_frozen_weight_once_and_leaves_it_frozen():
    network = torch.nn.Linear(8, 512).requires_grad_(requires_grad=False)
    with autocast(network, "bf16"), Conversions() as seen:
        for _ in range(4):
            made = network(torch.ones(1, 8))
    assert seen.count == 1
    assert made.dtype == torch.bfloat16
    assert not made.requires_grad
    assert not network.weight.requires_grad
    with autocast(network, "no"):
        assert network(torch.ones(1, 8)).dtype == torch.float32


@torch.no_grad()
def test_one_compiled_block_serves_all_and_computes_the_same():
    network, latent = dit(), torch.randn(1, 3, 4, 4, 2, generator=torch.Generator().manual_seed(1))
    steps = [9, 4, 0]
    known = network.modulate_all(steps)
    plain = [
        network(latent, torch.tensor([t]), modulations=known.at(i)) for i, t in enumerate(steps)
    ]
    compiler = CompileCounter()
    with counted_by(compiler):
        compile_denoiser(network)
    fused = [
        network(latent, torch.tensor([t]), modulations=known.at(i)) for i, t in enumerate(steps)
    ]
    assert compiler.frame_count == 1
    for one, other in zip(plain, fused, strict=True):
        torch.testing.assert_close(other, one)


@contextmanager
def counted_by(compiler):
    """``Module.compile`` through a backend that counts instead of generating code."""
    real = torch.nn.Module.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda self: real(self, backend=compiler))
        yield
    torch._dynamo.reset()


SIZES = {"cardiodit": (4, 4, 32, 32)}


@pytest.mark.parametrize("family", ["voldit", "cardiodit", "medlord", "ldm"])
def test_a_sample_in_bf16_is_close_to_one_in_float32(family):
    kind, recipe = GENERATORS.load(family).family, micro_recipe(family)
    masks, shape = 0 if family == "cardiodit" else 2, SIZES.get(family, (1, 32, 32, 32))
    with seeded_globally(0, "bf16"):
        config = kind.fitted(parse(kind.config, recipe.model, "model"), shape, masks, 0)
        model = kind.build(config).eval()
    rng = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=rng)
    image = torch.randn(1, 1, *shape, generator=rng)
    with torch.no_grad():
        latent = model.encode(kind.to_model(image))
    condition = kind.to_model(torch.ones(1, masks, *shape)) if masks else None
    made = SimpleNamespace()
    for precision in ("no", "bf16"):
        with autocast(model, precision):
            sampled = model.sample_latent(latent, steps=3, condition=condition)
            decoded = model.decode(latent, memory_gb=4.0)
        assert sampled.dtype == torch.float32
        setattr(made, precision, (sampled, decoded.float()))
    for half, full in zip(made.bf16, made.no, strict=True):
        assert (half - full).abs().mean() < 0.05 * full.abs().mean()  # 2⁻⁸ a layer


def test_a_bf16_weight_gradient_on_a_cpu_reads_no_unwritten_memory():
    """oneDNN's does, over a grid of 2 x 2 x 2: once in three calls here it held NaN."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        _ = [torch.full((4**k,), float("nan")) for k in range(2, 11) for _ in range(3)]
        volume = torch.randn(2, 128, 2, 2, 2, generator=rng).bfloat16()
        weight = torch.randn(24, 128, 3, 3, 3, generator=rng).bfloat16().requires_grad_()
        with sound_convolutions(torch.device("cpu"), "bf16"):
            torch.nn.functional.conv3d(volume, weight, padding=1).sum().backward()
        assert torch.isfinite(weight.grad).all()
    assert torch.backends.mkldnn.enabled
