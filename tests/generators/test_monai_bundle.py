"""The layout of MONAI's brain LDM bundle, with small random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet

from audit.errors import BadInput
from generators.monai_bundle import load_monai_bundle
from generators.seeds import seeded_globally

AUTOENCODER = {
    "spatial_dims": 3, "in_channels": 1, "out_channels": 1, "latent_channels": 3,
    "channels": [8, 8], "num_res_blocks": 1, "norm_num_groups": 8,
    "attention_levels": [False, False],
    "with_encoder_nonlocal_attn": False, "with_decoder_nonlocal_attn": False,
}  # fmt: skip
UNET = {
    "spatial_dims": 3, "in_channels": 7, "out_channels": 3, "channels": [8, 16],
    "num_res_blocks": 1, "attention_levels": [False, True], "norm_num_groups": 8,
    "resblock_updown": True, "num_head_channels": [0, 16], "with_conditioning": True,
    "cross_attention_dim": 4, "upcast_attention": True,
}  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, Any, Any]:
    with seeded_globally(0):
        networks = AutoencoderKL(**AUTOENCODER).eval(), DiffusionModelUNet(**UNET).eval()
    (tmp_path / "configs").mkdir()
    (tmp_path / "models").mkdir()
    scheduler = {
        "_target_": "monai.networks.schedulers.DDIMScheduler", "beta_start": 0.0015,
        "beta_end": 0.0205, "num_train_timesteps": 1000, "schedule": "scaled_linear_beta",
        "clip_sample": False,
    }  # fmt: skip
    tree = {
        "noise": "$torch.randn((1, 3, 20, 28, 20))",
        "autoencoder_def": {"_target_": "monai.networks.nets.AutoencoderKL", **AUTOENCODER},
        "diffusion_def": {"_target_": "monai.networks.nets.DiffusionModelUNet", **UNET},
        "scheduler": scheduler,
    }
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(tree))
    torch.save(networks[0].state_dict(), tmp_path / "models" / "autoencoder.pt")
    torch.save(networks[1].state_dict(), tmp_path / "models" / "model.pt")
    return tmp_path, *networks


def test_it_samples_as_the_bundles_own_loop_does(bundle: tuple[Path, Any, Any]) -> None:
    from monai.networks.schedulers import DDIMScheduler

    folder, autoencoder, unet = bundle
    noise = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    covariates = torch.tensor([[0.0, 0.1, 0.2, 0.4]])
    scheduler = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0205, num_train_timesteps=1000,
        schedule="scaled_linear_beta", clip_sample=False,
    )  # fmt: skip
    scheduler.set_timesteps(num_inference_steps=5)
    # MONAI 1.6 spaces these from 999 while its step goes to t - 200; as published: multiples.
    scheduler.timesteps = torch.tensor([800, 600, 400, 200, 0])
    planes = covariates[..., None, None, None].expand(1, 4, 4, 4, 4)
    expected = noise
    with torch.no_grad():
        for t in scheduler.timesteps:
            made = unet(
                torch.cat([expected, planes], 1), timesteps=t[None], context=covariates[None]
            )
            expected, _ = scheduler.step(made, t, expected)
        image = autoencoder.decode(expected)
    model = load_monai_bundle(folder)
    latent = model.sample_latent(noise, steps=5, condition=covariates)
    torch.testing.assert_close(latent, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.decode(latent), image, rtol=1e-3, atol=1e-4)


def test_expressions_and_wrong_covariates_are_refused(bundle: tuple[Path, Any, Any]) -> None:
    folder = bundle[0]
    model = load_monai_bundle(folder)
    with pytest.raises(BadInput, match=r"covariates of shape \(1, 3\)"):
        model.sample_latent(torch.zeros(1, 3, 4, 4, 4), steps=1, condition=torch.zeros(1, 3))
    file = folder / "configs" / "inference.json"
    file.write_text(file.read_text().replace('"latent_channels": 3', '"latent_channels": "$1+2"'))
    with pytest.raises(BadInput, match="Expressions are not run"):
        load_monai_bundle(folder)
