"""Every path on tensors that say they are on a GPU: nothing is computed, and devices may not mix.

torch refuses to combine a fake CUDA tensor with one on the CPU, also where there is no GPU. What
such tensors cannot show (numbers, memory, autocast) the tests marked ``gpu`` do.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from micro import micro_recipe
from monai.losses import PatchAdversarialLoss
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from generators.networks import dit
from generators.protocol import GENERATORS
from generators.recipe import parse
from generators.samplers import SAMPLERS
from generators.seeds import Draw
from generators.training.denoiser import Denoise
from generators.training.denoiser import _Loss as DenoiserLoss
from generators.training.ema import Ema
from generators.training.stage1 import Reconstruction, _discriminator
from generators.training.stage1 import _Losses as Stage1Losses

GPU = torch.device("cuda")
SHAPES = {"cardiodit": (32, 4, 32, 32)}  # the discriminator halves time as well
SLOW = pytest.mark.slow
CASES = [
    pytest.param("voldit", 2, 3, id="voldit"),
    pytest.param("medlord", 2, 3, id="medlord"),
    pytest.param("cardiodit", 0, 3, id="cardiodit", marks=SLOW),
    pytest.param("voldit", 2, 0, id="voldit-no-classes", marks=SLOW),
    pytest.param("medlord", 0, 0, id="medlord-no-masks", marks=SLOW),
    pytest.param("ldm", 0, 0, id="ldm-no-masks", marks=SLOW),
    pytest.param("ldm", 2, 0, id="ldm", marks=SLOW),
    pytest.param("ldm controlnet", 2, 3, id="ldm-controlnet", marks=SLOW),
]


class OnGpu(SimpleNamespace):
    """A model of fake CUDA weights with an image, masks and labels for it."""


every_case = pytest.mark.parametrize(("name", "masks", "classes"), CASES)


@pytest.fixture
def on_gpu(name, masks, classes, monkeypatch):
    family_name, _, control = name.partition(" ")
    # What looks at numbers, which fake tensors do not have.
    monkeypatch.setattr(dit, "on_host", lambda labels: [1] * len(labels))
    monkeypatch.setattr(dit.DiT, "_weights", lambda _: (object(),))
    monkeypatch.setattr(Draw, "uniform", without_fakes(Draw.uniform))
    # What asks for the name of a tensor's type, which needs a driver.
    same = staticmethod(lambda scores, _: torch.ones_like(scores))
    monkeypatch.setattr(PatchAdversarialLoss, "get_target_tensor", same)
    family = GENERATORS.load(family_name).family
    stage1 = {"adversarial_weight": 0.1, "spectral_weight": 0.1}
    model = {"condition_by": "controlnet"} if control else {}
    recipe = micro_recipe(family_name, stage1=stage1, model=model)
    shape = SHAPES.get(family_name, (1, 32, 32, 32))
    config = family.fitted(parse(family.config, recipe.model, "model"), shape, masks, classes)
    model = family.build(config)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield OnGpu(
            family=family,
            recipe=recipe,
            model=to_gpu(model).eval(),
            image=torch.empty(1, 1, *shape, device=GPU),
            masks=torch.empty(1, masks, *shape, device=GPU) if masks else None,
            labels=torch.zeros(1, dtype=torch.int64, device=GPU) if classes else None,
        )


def without_fakes(function: Any) -> Any:
    def call(*args: Any) -> Any:
        with unset_fake_temporarily():
            return function(*args)

    return call


def to_gpu(module: torch.nn.Module) -> torch.nn.Module:
    """As ``Module.to``, which does not move fake weights in place."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = torch.nn.Parameter(torch.empty_like(value, device=GPU))
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty_like(buffer, device=GPU)
    return module


def latent_of(case):
    return case.model.encode(case.family.to_model(case.image)).detach()


@every_case
@torch.no_grad()
def test_a_volume_stays_on_the_gpu_through_encoding_sampling_and_decoding(on_gpu):
    case, model = on_gpu, on_gpu.model
    latent = latent_of(case)
    assert latent.device.type == "cuda"
    condition = case.family.to_model(case.masks) if case.masks is not None else None
    asked = {"labels": case.labels, "condition": condition}
    step = torch.zeros(1, dtype=torch.int64, device=GPU)
    assert model.denoise(latent, step, **asked).device.type == "cuda"
    for sampler in SAMPLERS:
        rng = [torch.Generator()]
        made = model.sample_latent(latent, steps=2, sampler=sampler, rng=rng, **asked)
        assert made.device.type == "cuda"
    if condition is not None and case.labels is None:
        model.sample_latent(latent, steps=2, guidance=2.0, condition=condition)
    assert model.decode(latent).device.type == "cuda"


@every_case
@torch.no_grad()
def test_exact_tiles_of_a_gpu_volume_are_gathered_on_the_cpu(on_gpu, monkeypatch):
    from generators import tiles

    monkeypatch.setattr(tiles, "choose_tile", lambda *a: tuple(-(-n // 2) for n in a[3]))
    case, model = on_gpu, on_gpu.model
    model.memory_gb = 8.0
    latent = latent_of(case).to(GPU)
    image = model.decode(latent)
    assert image.shape == case.family.to_model(case.image).shape
    if case.masks is not None and getattr(model.adapter, "embedder", None) is not None:
        condition = case.family.to_model(case.masks)
        model.sample_latent(latent, steps=2, labels=case.labels, condition=condition)


@every_case
def test_a_training_step_of_the_first_stage_stays_on_the_gpu(on_gpu):
    case = on_gpu
    family = replace(case.family, stage1_views=lambda i, _: case.family.stage1_views(i, [0.3]))
    course = SimpleNamespace(recipe=case.recipe, family=family, cohort=range(4), seed=0)
    stage1, discriminator = case.model.stage1.train(), to_gpu(_discriminator(course, 3))
    calls = {"stage1": Reconstruction(stage1), "discriminator": discriminator}
    losses, _ = Stage1Losses(course, 3, None)(calls, {"image": case.image}, Draw((0,), [0]), 5)
    assert {loss.device.type for loss in losses.values()} == {"cuda"}
    update(stage1)


@every_case
def test_a_training_step_of_the_denoiser_stays_on_the_gpu(on_gpu):
    case, model = on_gpu, on_gpu.model.train()
    course = SimpleNamespace(recipe=case.recipe, family=case.family, model=model, seed=0)
    batch = {"latent": latent_of(case), "masks": case.masks, "group": case.labels}
    batch = {name: value for name, value in batch.items() if value is not None}
    loss = DenoiserLoss(course, "denoiser", case.recipe.denoiser)
    losses, _ = loss({"denoiser": Denoise(model)}, batch, Draw((0,), [0]), 5)
    assert losses["denoiser"].device.type == "cuda"
    update(model.denoiser)


def update(network):
    """Clipping, the optimizer's step and the average, for gradients of any value.

    The backward pass itself needs a CUDA driver even for fake tensors.
    """
    for parameter in network.parameters():
        parameter.grad = torch.empty_like(parameter)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    average = Ema(network, 0.9)
    torch.optim.AdamW(network.parameters()).step()
    average.update(network, 3)
    assert {value.device.type for value in average.shadow.values()} == {"cuda"}


@pytest.mark.parametrize(("name", "masks", "classes"), CASES[:1])
def test_the_fakes_would_notice_a_tensor_left_on_the_cpu(on_gpu):
    with pytest.raises(RuntimeError, match="same device"):
        on_gpu.image + torch.zeros(on_gpu.image.shape)
