"""Numbers of the official code, from checkpoints in its own layout (tests/reference/README.md)."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from generators import load_official
from generators.samplers import ddpm, spaced_timesteps

REFERENCE = Path(__file__).parents[1] / "reference"
CLOSE = {"atol": 1e-4, "rtol": 0}


def load(family, denoiser, adapter=None):
    folder = REFERENCE / family
    files = {"stage1": "stage1", "denoiser": denoiser, "adapter": adapter}
    return load_official(
        family,
        **{f"{part}_config": folder / f"{name}.yaml" for part, name in files.items() if name},
        **{f"{part}_checkpoint": folder / f"{name}.pth" for part, name in files.items() if name},
    )


def numbers(family, name):
    with np.load(REFERENCE / family / f"{name}.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    return {k: torch.from_numpy(v) if v.ndim else v.item() for k, v in arrays.items()}


def hounsfield(image):
    return ((image.clamp(-1, 1) + 1) * 1000 - 1000).to(torch.int16)


@pytest.fixture(scope="module")
def voldit():
    return load("voldit", "dit")


@pytest.fixture(scope="module")
def cardiodit():
    return load("cardiodit", "dit")


@pytest.fixture(scope="module")
def medlord():
    return load("medlord", "ldm", "controlnet")


@torch.no_grad()
def test_voldit_first_stage(voldit):
    want = numbers("voldit", "stage1")
    raw = voldit.stage1.encoder(want["image"])
    torch.testing.assert_close(raw, want["latent"], **CLOSE)
    assert torch.equal(voldit.stage1.codebook.indices(raw), want["indices"])
    torch.testing.assert_close(voldit.encode(want["image"]), want["quantized"], **CLOSE)
    torch.testing.assert_close(voldit.encode(want["image"]), want["stage2_input"], **CLOSE)
    torch.testing.assert_close(voldit.stage1(want["image"])[0], want["reconstruction"], **CLOSE)
    torch.testing.assert_close(voldit.decode(want["stage2_latent"]), want["decoded"], **CLOSE)


@torch.no_grad()
def test_voldit_denoiser(voldit):
    want = numbers("voldit", "dit")
    torch.testing.assert_close(
        voldit.denoise(want["latent"], want["timesteps"]), want["output"], **CLOSE
    )


@torch.no_grad()
def test_voldit_control_adapter():
    model, want = load("voldit", "dit", "tgca"), numbers("voldit", "tgca")
    made = model.denoise(want["latent"], want["timesteps"], condition=want["condition"])
    torch.testing.assert_close(made, want["output"], **CLOSE)
    assert model.scale_factor == 1.7


def test_voldit_schedule(voldit):
    want, schedule = numbers("voldit", "schedule"), voldit.schedule
    torch.testing.assert_close(schedule.betas, want["betas"], atol=1e-12, rtol=0)
    torch.testing.assert_close(schedule.alphas_cumprod, want["alphas_cumprod"], atol=1e-12, rtol=0)
    pair = (want["clean"], want["noise"], torch.tensor([123]))
    torch.testing.assert_close(schedule.add_noise(*pair), want["noisy_t123"], **CLOSE)
    torch.testing.assert_close(schedule.velocity(*pair), want["velocity_t123"], **CLOSE)


@torch.no_grad()
def test_voldit_ddpm_with_its_generator(voldit):
    want = numbers("voldit", "sample_ddpm")
    states = ddpm(
        lambda x, t: voldit.denoise(x, torch.tensor([t])),
        want["noise"],
        voldit.schedule,
        spaced_timesteps(voldit.schedule, 300),
        torch.Generator().manual_seed(want["generator_seed"]),
    )
    last = list(islice(states, want["first_steps"]))[-1]
    torch.testing.assert_close(last, want["latent"], **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize(("family", "denoiser"), [("voldit", "dit"), ("medlord", "ldm")])
def test_ddim_to_hounsfield_units(family, denoiser):
    model, want = load(family, denoiser), numbers(family, "sample_ddim")
    latent = model.sample_latent(want["noise"], steps=want["steps"])
    torch.testing.assert_close(latent, want["latent"], **CLOSE)
    volume = hounsfield(model.decode(latent / want["scale_factor"]))[0, 0]
    assert ((volume - want["volume_hu"]).abs() <= 2).float().mean() >= 0.99


@torch.no_grad()
def test_cardiodit_first_stage(cardiodit):
    want = numbers("cardiodit", "stage1")
    made = cardiodit.encode(want["volume_hwdt"][None, None])[0]
    torch.testing.assert_close(made, want["latent_czhwt"], **CLOSE)


@torch.no_grad()
def test_cardiodit_denoiser(cardiodit):
    want = numbers("cardiodit", "dit")
    made = cardiodit.denoise(want["latent"], want["timesteps"])
    torch.testing.assert_close(made, want["output"], **CLOSE)


@torch.no_grad()
def test_cardiodit_ddim_to_volume(cardiodit):
    want = numbers("cardiodit", "sample_ddim")
    latent = cardiodit.sample_latent(want["noise"], steps=want["steps"])
    torch.testing.assert_close(latent, want["latent"], **CLOSE)
    volume = cardiodit.decode(latent / cardiodit.scale_factor)[0, 0]
    assert ((volume - want["volume_hwdt"]).abs() <= 2e-3).float().mean() >= 0.99


@torch.no_grad()
def test_medlord_first_stage(medlord):
    want = numbers("medlord", "stage1")
    torch.testing.assert_close(medlord.encode(want["image"]), want["stage2_input"], **CLOSE)
    torch.testing.assert_close(medlord.decode(want["stage2_latent"]), want["decoded"], **CLOSE)


@torch.no_grad()
def test_medlord_denoiser(medlord):
    want = numbers("medlord", "ldm")
    made = medlord.denoise(want["latent"], want["timesteps"])
    torch.testing.assert_close(made, want["output"], **CLOSE)


@torch.no_grad()
def test_medlord_controlnet(medlord):
    want = numbers("medlord", "controlnet")
    scale = want["conditioning_scale"]
    latent, timesteps, condition = (want[k] for k in ("latent", "timesteps", "condition"))
    embedded = medlord.embed_condition(condition, tuple(latent.shape[2:]))
    _, middle = medlord.adapter(None, embedded, latent, timesteps, strength=scale)
    torch.testing.assert_close(middle, want["mid_residual"], **CLOSE)
    made = medlord.denoise(latent, timesteps, condition=condition, conditioning_scale=scale)
    torch.testing.assert_close(made, want["output"], **CLOSE)
