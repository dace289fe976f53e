"""Recipes small enough to train in a second, for tests of everything but quality."""

from typing import Any

from generators.recipe import Recipe, merged, parse, recipe_tree

STAGES: dict[str, Any] = {
    "stage1": {"steps": 2, "batch_size": 2, "quantize_after": 1},
    "denoiser": {"steps": 3, "batch_size": 2, "learning_rate": 0.02},
    "sampling": {"sampler": "ddim", "steps": 3, "batch_size": 2},
    "tensorboard": False,
}
VQ = {"num_channels": [8, 16], "num_res_channels": [8, 16], "num_embeddings": 64}
UNET = {"num_channels": [8, 16], "num_head_channels": [0, 8], "norm_num_groups": 8}
ADAPTER = {"steps": 4, "batch_size": 2, "learning_rate": 0.05}
SMALL: dict[str, dict[str, Any]] = {
    "voldit": {
        "model": {
            "stage1": VQ,
            "denoiser": {"hidden_size": 24, "depth": 2, "num_heads": 2, "patch_size": 4},
        },
        "adapter": ADAPTER,
    },
    "cardiodit": {
        "model": {
            "stage1": VQ,
            "denoiser": {
                "hidden_size": 24,
                "depth": 2,
                "num_heads": 2,
                "patch_size": [4, 4, 4, 1],
            },
        },
    },
    "medlord": {"model": {"stage1": VQ, "denoiser": UNET}, "adapter": ADAPTER},
    "ldm": {
        "model": {
            "stage1": {"channels": [8, 8, 8], "norm_num_groups": 8},
            "unet": {"channels": [8, 16], "num_head_channels": 8, "norm_num_groups": 8},
        },
    },
}


def micro_recipe(family: str, **changes: Any) -> Recipe:
    """The tiny preset of a family, smaller still."""
    tree = merged(recipe_tree(f"{family}-tiny"), STAGES)
    tree = merged(merged(tree, SMALL[family]), changes)
    return parse(Recipe, tree, "micro recipe")
