"""Presets: every one is valid, and their sizes are the published ones."""

from typing import Any

import pytest
import torch

from audit.errors import BadInput
from generators.library import create
from generators.protocol import GENERATORS
from generators.recipe import parse, preset_names, read_recipe

FAMILIES = ("voldit", "cardiodit", "medlord", "ldm")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_valid_recipe_and_configuration(name: str) -> None:
    recipe = read_recipe(name)
    family = GENERATORS.load(recipe.family).family
    config = parse(family.config, recipe.model, name)
    assert recipe.description
    assert recipe.source
    assert all(m >= 1 for m in family.multiple(config))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_a_tiny_preset(family: str) -> None:
    assert f"{family}-tiny" in preset_names()


def test_voldit_large_with_patch_4_sees_2048_tokens_at_512_512_256() -> None:
    recipe = read_recipe("voldit-l-4")
    family = GENERATORS.load("voldit").family
    config = family.fitted(
        parse(family.config, recipe.model, "voldit-l-4"), (1, 256, 512, 512), 1, 0
    )
    assert config.denoiser.input_size == (64, 64, 32)
    assert config.denoiser.input_size[0] // 4 * 64 // 4 * 32 // 4 == 2048
    with torch.device("meta"):
        model = family.build(config)
    blocks = sum(p.numel() for p in model.denoiser.parameters())
    assert 4.5e8 < blocks < 7.5e8


def test_cardiodit_sees_6144_tokens() -> None:
    recipe = read_recipe("cardiodit-b")
    family = GENERATORS.load("cardiodit").family
    config = family.fitted(parse(family.config, recipe.model, "c"), (32, 6, 256, 256), 0, 0)
    assert config.denoiser.input_size == (6, 64, 64, 8)
    assert config.denoiser.depth == 12


def test_published_optimization_is_kept() -> None:
    medlord = read_recipe("medlord-ds8")
    assert (medlord.denoiser.learning_rate, medlord.denoiser.gamma) == (1e-4, 0.9995)
    assert (medlord.stage1.perceptual_weight, medlord.stage1.spectral_weight) == (0.1, 0.7)
    cardiodit = read_recipe("cardiodit-s")
    assert cardiodit.denoiser.warmup_epochs == 100
    assert cardiodit.denoiser.ema_decay == 0.9999
    luna = read_recipe("voldit-l-4-luna16")
    assert luna.data.window == (-1200, 300)
    assert luna.data.rotate_degrees == 5


DIT = "model.denoiser"
PUBLISHED: dict[str, dict[str, Any]] = {
    **{
        f"voldit-{name}-{patch}": {
            f"{DIT}.depth": depth, f"{DIT}.hidden_size": hidden, f"{DIT}.num_heads": heads,
            f"{DIT}.patch_size": patch, "model.stage1.num_embeddings": 4096,
            "model.scheduler.num_train_timesteps": 300, "denoiser.epochs": 1000,
            "denoiser.gamma": 0.999, "denoiser.ema_decay": 0.9999, "adapter.learning_rate": 5e-5,
            "stage1.perceptual_weight": 0.005, "stage1.discriminator_learning_rate": 2e-5,
        }
        for name, depth, hidden, heads in (
            ("xs", 6, 384, 6), ("s", 12, 384, 6), ("b", 12, 768, 12), ("l", 24, 1152, 16),
        )
        for patch in (2, 4)
    },
    "voldit-l-4-luna16": {f"{DIT}.depth": 24, "data.window": [-1200, 300]},
    **{
        f"cardiodit-{name}": {
            f"{DIT}.depth": depth, f"{DIT}.hidden_size": 768, f"{DIT}.patch_size": [1, 4, 4, 2],
            "denoiser.epochs": 3000, "denoiser.weight_decay": 1e-4, "denoiser.floor": 0.01,
            "denoiser.precision": "fp16", "denoiser.gradient_clip": 1.0, "stage1.epochs": 500,
            "stage1.batch_size": 4, "stage1.spectral_weight": 0.0, "sampling.sampler": "ddim",
        }
        for name, depth in (("s", 8), ("b", 12), ("l", 16))
    },
    "medlord-ds4": {
        "model.stage1.num_channels": [128, 256], "data.crop": [128, 128, 128],
        "stage1.learning_rate": 3e-5, "stage1.discriminator_learning_rate": 1e-4,
        "stage1.epochs": 500, "denoiser.epochs": 5000, "denoiser.ema_decay": 0.999,
    },
    "medlord-ds4-first": {"denoiser.learning_rate": 2e-5, "denoiser.epochs": 500},
    "medlord-ds8": {
        "model.stage1.num_channels": [128, 256, 512], "data.crop": [128, 256, 256],
        "stage1.epochs": 1300, "stage1.adversarial_weight": 0.008, "denoiser.batch_size": 4,
    },
    "medlord-ds8-3level": {
        f"{DIT}.num_channels": [128, 256, 512], f"{DIT}.num_res_blocks": 3,
        "denoiser.learning_rate": 5e-5, "denoiser.epochs": 4000, "denoiser.batch_size": 2,
    },
    "medlord-ds8-t1000": {"model.scheduler.num_train_timesteps": 1000},
    "medlord-ds8-pccta": {
        "model.adapter.r": 0.5, "adapter.learning_rate": 7.5e-5, "adapter.epochs": 500,
        "data.structures": ["aorta", "atrium_l", "atrium_r", "myocardium", "ventricle_l",
                            "ventricle_r"],
    },
    "medlord-ds8-luna16": {"model.adapter.r": 0.5, "data.structures": ["lung", "lung_nodules"]},
    "ldm-carbon-3d": {"stage1.steps": 150_000, "denoiser.steps": 150_000},
    "ldm-carbon-2d": {"stage1.steps": 150_000, "denoiser.steps": 150_000},
    "ldm-brain": {"model.unet.channels": [256, 512, 768], "model.stage1.latent_channels": 3},
}  # fmt: skip
"""Numbers of the papers and their repositories that decide each set."""


def test_every_published_set_is_a_preset_and_every_preset_published_or_small() -> None:
    small = {name for name in preset_names() if name.endswith("-tiny") or "-demo" in name}
    assert set(preset_names()) == small | set(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_preset_holds_the_published_numbers(name: str) -> None:
    tree: Any = read_recipe(name).model_dump(mode="json")
    for place, value in PUBLISHED[name].items():
        found = tree
        for key in place.split("."):
            found = found[key]
        assert found == value, place


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_set_is_built_at_its_size_with_the_weights_its_numbers_give(name: str) -> None:
    recipe = read_recipe(name)
    family = GENERATORS.load(recipe.family).family
    config = parse(family.config, recipe.model, name)
    shape = recipe.data.shape or (1, 160, 224, 160)
    with torch.device("meta"):
        model = family.build(family.fitted(config, shape, len(recipe.data.structures), 0))
    if recipe.family in ("voldit", "cardiodit"):
        width, depth = config.denoiser.hidden_size, config.denoiser.depth
        blocks = sum(p.numel() for p in model.denoiser.blocks.parameters())
        # Per block 3 + 1 + 8 matrices of attention and MLP, 6 of AdaLN, and their biases.
        assert blocks == depth * (18 * width**2 + 15 * width)
    assert (model.adapter is not None) == bool(recipe.data.structures)


def test_an_unknown_preset_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean 'ldm-tiny'"):
        create("ldm-tiy")


def test_an_unknown_key_gets_a_suggestion() -> None:
    from generators.recipe import Recipe, merged, recipe_tree

    tree = merged(recipe_tree("ldm-tiny"), {"denoiser": {"learning_rat": 1.0}})
    with pytest.raises(BadInput, match=r"denoiser.learning_rat.*did you mean 'learning_rate'"):
        parse(Recipe, tree, "train.yaml")
