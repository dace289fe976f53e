"""Every option of the official YAML files: written, read back strictly, and in effect."""

from pathlib import Path

import pytest
import torch

from generators import load_official
from generators.convert import FILES, write_official
from generators.official import BUILDERS, CONFIGS
from generators.seeds import seeded_globally

STAGE1 = {
    "num_channels": [4, 4], "num_res_channels": [4, 4], "num_res_layers": 1, "embedding_dim": 3,
    "downsample_parameters": [[2, 4, 1, 1]] * 2, "num_embeddings": 8,
    "upsample_parameters": [[2, 4, 1, 1, 0]] * 2,
}  # fmt: skip
SLICES = STAGE1 | {
    "downsample_parameters": [[2, 4, 1, 1], [[2, 2, 1], [4, 4, 1], 1, [1, 1, 0]]],
    "upsample_parameters": [
        [[2, 2, 1], [4, 4, 1], 1, [1, 1, 0], [0, 0, 0]], [2, 4, 1, 1, 0]
    ],
}  # fmt: skip
DIT = {
    "input_size": [4, 4, 2], "patch_size": 2, "in_channels": 3, "hidden_size": 16, "depth": 3,
    "num_heads": 2,
}  # fmt: skip
DIT4D = DIT | {"input_size": [3, 4, 4, 2]}
LEVELS = {
    "in_channels": 3, "num_channels": [8, 16], "num_res_blocks": 1, "norm_num_groups": 4,
    "attention_levels": [False, True], "num_head_channels": [0, 8],
}  # fmt: skip
UNET = LEVELS | {"out_channels": 3}
CONTROL = LEVELS | {
    "conditioning_embedding_in_channels": 2, "initial_stride": 1, "r": 1.0,
    "conditioning_embedding_num_channels": [4, 4, 8],
}  # fmt: skip
SCHEDULER = {"schedule": "cosine", "num_train_timesteps": 20, "prediction_type": "v_prediction"}


def case(name, family, denoiser, adapter=None, **scheduler):
    tree = {
        "stage1": SLICES if family == "cardiodit" else STAGE1,
        "denoiser": denoiser,
        "scheduler": SCHEDULER | scheduler,
        "scale_factor": 1.3,
    }
    if adapter is not None:
        tree["adapter"] = adapter
    return pytest.param(family, tree, id=name)


CASES = [
    case("plain voldit", "voldit", DIT),
    case("classes and sigma", "voldit", DIT | {
        "num_classes": 3, "class_dropout_prob": 0.1, "learn_sigma": True,
    }, variance_type="learned_range"),
    case("last layers", "voldit", DIT, {"condition_channels": 2, "inject_layers": 1}),
    case("chosen layers", "voldit", DIT, {"inject_layers": [0, 2], "condition_channels": 2}),
    case("finetuned", "voldit", DIT, {"finetune_last_n_blocks": 2, "condition_channels": 2}),
    case("epsilon, linear", "voldit", DIT, prediction_type="epsilon", schedule="linear_beta"),
    case("sample, scaled linear", "voldit", DIT,
         prediction_type="sample", schedule="scaled_linear_beta"),
    case("anisotropic 4D", "cardiodit", DIT4D | {"patch_size": [1, 4, 2, 1]}),
    case("classes 4D", "cardiodit", DIT4D | {
        "patch_size": [3, 2, 2, 1], "num_classes": 2, "class_dropout_prob": 0.2,
    }, prediction_type="epsilon", schedule="scaled_linear_beta"),
    case("plain medlord", "medlord", UNET),
    case("narrow", "medlord", UNET, CONTROL | {"r": 0.5}),
    case("initial stride", "medlord", UNET, CONTROL | {
        "initial_stride": 2, "conditioning_embedding_num_channels": [4, 8],
    }),
    case("cross attention without context", "medlord", UNET, CONTROL | {"with_conditioning": True}),
    case("classes in a unet", "medlord", UNET | {"num_class_embeds": 3},
         CONTROL | {"num_class_embeds": 3}),
]  # fmt: skip


def official_files(folder: Path, family: str, tree: dict) -> dict[str, Path]:
    names = {"stage1": "stage1", **FILES[family]}
    return {
        f"{part}_{kind}": folder / f"{names[part]}.{suffix}"
        for part in ("stage1", "denoiser", "adapter")
        if part in tree
        for kind, suffix in (("config", "yaml"), ("checkpoint", "pth"))
    }


@torch.no_grad()
@pytest.mark.parametrize(("family", "tree"), CASES)
def test_a_model_with_this_option_goes_through_official_files_and_samples(family, tree, tmp_path):
    config = CONFIGS[family].model_validate(tree)
    with seeded_globally(0, "options"):
        model = BUILDERS[family](config).eval()
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    write_official(family, model, config, tmp_path)
    loaded = load_official(family, **official_files(tmp_path, family, tree))
    assert loaded.scale_factor == 1.3
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    grid = tree["denoiser"].get("input_size", [4, 4, 4])
    asked = {"steps": 2, "rng": torch.Generator().manual_seed(0), "sampler": "ddpm"}
    noise = torch.randn((1, 3, *grid), generator=torch.Generator().manual_seed(1))
    if "num_classes" in tree["denoiser"] or "num_class_embeds" in tree["denoiser"]:
        asked["labels"] = torch.tensor([1])
    if "adapter" in tree:
        sizes = [n * f for n, f in zip(grid, loaded.stage1.factor, strict=True)]
        asked["condition"] = torch.ones(1, 2, *sizes)
    made = loaded.sample_latent(noise, **asked)
    assert made.shape == noise.shape
    again = model.sample_latent(noise, **asked | {"rng": torch.Generator().manual_seed(0)})
    torch.testing.assert_close(made, again)
    assert loaded.decode(made / loaded.scale_factor).isfinite().all()
    for option in ("labels", "condition"):
        if option in asked:
            other = asked | {option: asked[option] * 0, "rng": torch.Generator().manual_seed(0)}
            assert not torch.allclose(loaded.sample_latent(noise, **other), made)
