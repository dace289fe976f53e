"""What sampling computes, and how often: guidance, fused attention, once-per-sample work."""

from collections import Counter

import pytest
import torch
from micro import micro_recipe
from torch.utils._python_dispatch import TorchDispatchMode

from generators.protocol import GENERATORS
from generators.recipe import parse
from generators.seeds import seeded_globally

SHAPES = {"cardiodit": (4, 4, 32, 32)}


def build(family, masks=0):
    """A micro model whose every weight matters, and a latent's noise."""
    kind = GENERATORS.load(family).family
    shape = SHAPES.get(family, (1, 32, 32, 32))
    config = parse(kind.config, micro_recipe(family).model, "model")
    with seeded_globally(0, family), torch.no_grad():
        model = kind.build(kind.fitted(config, shape, masks, 0)).eval()
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
        latent = model.encode(kind.to_model(torch.randn(1, 1, *shape)))
        noise = torch.randn(latent.shape)
    condition = kind.to_model((torch.randn(1, masks, *shape) > 0).float()) if masks else None
    if masks:
        condition[..., :8] = 1
    return model, noise, condition


@torch.no_grad()
@pytest.mark.parametrize("family", ["voldit", "medlord", "ldm"])
def test_guidance_by_masks_moves_away_from_empty_masks(family):
    model, noise, mask = build(family, masks=2)
    empty, follow, strong = (
        model.sample_latent(noise, steps=1, condition=condition, guidance=guidance)
        for condition, guidance in ((torch.zeros_like(mask), 1.0), (mask, 1.0), (mask, 2.5))
    )
    assert not torch.allclose(empty, follow)
    torch.testing.assert_close(strong, empty + 2.5 * (follow - empty), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("family", ["voldit", "medlord"])
def test_the_convolutions_of_a_mask_run_once_a_sample(family):
    model, noise, mask = build(family, masks=2)
    calls = []
    model.adapter.embedder.register_forward_hook(lambda *_: calls.append(1))
    model.sample_latent(noise, steps=4, condition=mask)
    assert len(calls) == 1


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@torch.no_grad()
@pytest.mark.parametrize("family", ["voldit", "cardiodit", "medlord", "ldm"])
def test_attention_is_one_fused_operation(family):
    model, noise, _ = build(family)
    with Operations() as operations:
        model.denoise(noise, torch.tensor([3]))
    fused = sum(n for name, n in operations.seen.items() if name.startswith("_scaled_dot_product"))
    assert fused >= 1
    assert operations.seen["_softmax"] == 0
    assert not any("math" in name for name in operations.seen)


@torch.no_grad()
def test_a_step_of_a_transformer_modulates_in_two_operations_a_layer():
    model, noise, _ = build("voldit")
    known = model.denoiser.modulate_all([3, 1])
    with Operations() as operations:
        model.denoiser(noise, torch.tensor([3]), modulations=known.at(0))
    depth = model.denoiser.config.depth
    assert operations.seen["native_layer_norm"] == 2 * depth + 1
    assert operations.seen["addcmul"] == 2 * depth
    assert operations.seen["mul"] == 0
    assert operations.seen["index"] == 0
