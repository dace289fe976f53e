"""The published recipes train as they are written, with networks and volumes made small."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from micro import SMALL

from audit.cohort import Cohort, cohort_of
from audit.phantoms import heart_cohort, thorax_cohort
from generators.protocol import GENERATORS
from generators.recipe import Recipe, merged, parse, recipe_tree
from generators.training.history import read_lines

SHORT: dict[str, Any] = {
    "data": {"shape": None, "workers": 0, "crop": [24, 24, 24], "spacing_mm": None},
    "stage1": {"epochs": 2, "steps": None, "adversarial_warmup_epochs": 1,
               "discriminator_channels": 4, "discriminator_layers": 2},
    "denoiser": {"epochs": 2, "steps": None, "warmup_epochs": 1},
    "sampling": {"steps": 2},
    "tensorboard": False,
}  # fmt: skip
STAGE = {"num_res_layers": 1}
NARROW: dict[str, dict[str, Any]] = {
    "voldit-l-4": {"denoiser": {"patch_size": 2},
                   "stage1": {**STAGE, "num_channels": [8, 8, 16], "num_res_channels": [8, 8, 16]}},
    "cardiodit-l": {"denoiser": {"patch_size": [1, 4, 4, 2]}, "stage1": STAGE},
    "medlord-ds4": {"denoiser": {"num_res_blocks": 1, "attention_levels": [False, True]},
                    "stage1": STAGE},
    "ldm-brain": {"stage1": {"channels": [8, 8, 8], "attention_levels": [False] * 3},
                  "unet": {"attention_levels": [False, True], "num_head_channels": [0, 8]}},
}  # fmt: skip
MASKED = ("voldit-l-4", "medlord-ds4")


def small(preset: str) -> Recipe:
    """Losses, rates, averages and precisions of the preset; sizes of the micro recipes."""
    tree = recipe_tree(preset)
    tree = merged(tree, {"model": SMALL[tree["family"]]["model"]})
    tree = merged(merged(tree, {"model": NARROW[preset]}), SHORT)
    if preset == "cardiodit-l":
        tree["data"]["crop"] = None  # it has none
    if preset in MASKED:
        tree["data"]["structures"] = ["heart"]
        tree["adapter"] = merged(tree["adapter"], {"epochs": 1})
    else:
        tree["adapter"] = None
    return parse(Recipe, tree, preset)


@pytest.fixture(scope="module")
def thorax() -> Cohort:
    return cohort_of("train", list(thorax_cohort(2, size=32)))


@pytest.fixture(scope="module")
def hearts() -> Cohort:
    return cohort_of("train", list(heart_cohort(2, size=32, frames=12)))


@pytest.mark.parametrize(
    "preset",
    [
        "voldit-l-4",
        "medlord-ds4",
        "ldm-brain",
        "cardiodit-l",
    ],
)
def test_a_published_recipe_trains_through_all_its_losses(
    preset: str, thorax: Cohort, hearts: Cohort, tmp_path: Path
) -> None:
    recipe = small(preset)
    cohort = hearts if preset.startswith("cardiodit") else thorax
    generator: Any = GENERATORS.load(recipe.family)(recipe)
    generator.fit(cohort, folder=tmp_path, cpu=True)
    stages = ["stage1", "denoiser", *(["adapter"] if preset in MASKED else [])]
    for stage in stages:
        lines = read_lines(tmp_path / stage / "history.jsonl")
        assert len(lines) >= 2 - (stage == "adapter")
        assert all(np.isfinite(value) for line in lines for value in line.values())
    losses = read_lines(tmp_path / "stage1" / "history.jsonl")
    assert losses[0]["discriminator"] == 0
    assert losses[-1]["discriminator"] > 0
    assert ("spectral" in losses[0]) == (recipe.stage1.spectral_weight > 0)
    (case,) = generator.sample(1, seed=0, conditions=cohort if preset in MASKED else None)
    assert np.isfinite(case.image.array).all()
