"""Presets: every one is valid, and their sizes are the published ones."""

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


def test_an_unknown_preset_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="did you mean 'ldm-tiny'"):
        create("ldm-tiy")


def test_an_unknown_key_gets_a_suggestion() -> None:
    from generators.recipe import Recipe, merged, recipe_tree

    tree = merged(recipe_tree("ldm-tiny"), {"denoiser": {"learning_rat": 1.0}})
    with pytest.raises(BadInput, match=r"denoiser.learning_rat.*did you mean 'learning_rate'"):
        parse(Recipe, tree, "train.yaml")
