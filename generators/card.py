"""What a trained generator's folder holds: ``generator.json`` and ``model.safetensors``."""

import json
from pathlib import Path
from typing import Any, Literal

import torch

from audit.errors import BadInput
from audit.preprocessing import Preprocessing
from audit.result import Record, write_bytes
from audit.volume import Spacing
from generators.grid import Grid
from generators.recipe import parse

WEIGHTS = "model.safetensors"


class Card(Record):
    """``generator.json``: all that ``load`` needs beside the weights.

    Attributes:
        family: Generator under ``generators/models``.
        recipe: As trained.
        config: The family's configuration, completed for grid and conditions.
        shape: Grid (t, z, y, x) of the volumes.
        padded: The grid the networks see.
        spacing_mm: Voxel size (z, y, x).
        spacing_known: Whether the training volumes stated their geometry.
        frame_ms: Frame period.
        window: Intensities that -1 and 1 stand for.
        modality: ``ct`` or ``mr``.
        structures: Mask channels.
        groups: Class labels.
        latent_shape: Channels and sizes of a latent.
        scale_factor: 1 over the standard deviation of the latents.
        seed: Of the training.
        train_hash: Hash of the training cohort.
        record: What was used: perceptual weights, codebook, versions.
    """

    family: str
    recipe: dict[str, Any]
    config: dict[str, Any]
    shape: tuple[int, int, int, int]
    padded: tuple[int, int, int, int]
    spacing_mm: Spacing
    spacing_known: bool
    frame_ms: float | None
    window: tuple[float, float]
    modality: Literal["ct", "mr"]
    structures: tuple[str, ...]
    groups: tuple[str, ...]
    latent_shape: tuple[int, ...]
    scale_factor: float
    seed: int
    train_hash: str
    record: dict[str, Any]

    @property
    def grid(self) -> Grid:
        """From cases to tensors and back."""
        return Grid(
            preprocessing=Preprocessing(
                shape=self.padded,
                spacing_mm=self.spacing_mm,
                window=self.window,
                modality=self.modality,
            ),
            shape=self.shape,
            spacing_known=self.spacing_known,
            frame_ms=self.frame_ms,
            structures=self.structures,
            groups=self.groups,
        )


def of_grid(grid: Grid) -> dict[str, Any]:
    """What a card says of a grid: the way back from ``Card.grid``."""
    return {
        "shape": grid.shape,
        "padded": grid.preprocessing.shape,
        "spacing_mm": grid.preprocessing.spacing_mm,
        "spacing_known": grid.spacing_known,
        "frame_ms": grid.frame_ms,
        "window": grid.preprocessing.window,
        "modality": grid.preprocessing.modality,
        "structures": grid.structures,
        "groups": grid.groups,
    }


def read_card(folder: Path) -> Card:
    """Read ``generator.json``.

    Raises:
        BadInput: There is none, or it is not one.
    """
    file = folder / "generator.json"
    if not file.is_file():
        raise BadInput(
            f"no generator.json in '{folder.name}'",
            "a folder that `voxaudit train` finished",
            "Train first, or repeat the command to finish an interrupted training",
        )
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput("generator.json is damaged", "JSON", "Train again") from error
    return parse(Card, tree, "generator.json")


def save_weights(model: torch.nn.Module, folder: Path) -> None:
    """Write a model's weights as safetensors."""
    from safetensors.torch import save

    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(weights))


def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Load what ``save_weights`` wrote, strictly.

    Raises:
        BadInput: Missing, truncated, or weights of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    if not file.is_file():
        raise BadInput(f"no {file.name} beside generator.json", "the weights", "Train again")
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{file.name} is truncated or damaged", "safetensors") from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise BadInput(f"{file.name} does not fit the model: {detail}") from error
