"""Generators kept in the middle of their training: ``MODEL/checkpoints/STAGE-STEP``.

Each is a whole generator that ``load`` and ``voxaudit sample`` take. ``denoiser.keep_every`` (or
``adapter.keep_every``) in the recipe says how often one is kept.
"""

import json
from pathlib import Path

from audit.errors import BadInput
from audit.result import Record

KEPT = "checkpoints"
STAGES = ("adapter", "denoiser")


class Kept(Record):
    """The moment of a training that a kept generator shows.

    Attributes:
        stage: ``denoiser`` or ``adapter``.
        step: Optimizer steps of that stage.
        passes: The same in passes over the training cohort.
        train_s: Seconds that the stage had taken, over all attempts.
    """

    stage: str
    step: int
    passes: float
    train_s: float


def kept_generators(model: str | Path) -> dict[Path, Kept]:
    """Folders of the generators kept under a model, by step; of the last stage that kept any.

    Raises:
        BadInput: None was kept.
    """
    folders = sorted(file.parent for file in Path(model).glob(f"{KEPT}/*/generator.json"))
    for stage in STAGES:
        found = [(folder, _moment(folder)) for folder in folders if folder.name.startswith(stage)]
        if found:
            return dict(found)
    raise BadInput(
        "this model kept no generators of its training",
        f"a folder '{KEPT}' in it",
        "Train with keep_every in the recipe's denoiser, such as denoiser: {keep_every: 500}",
    )


def _moment(folder: Path) -> Kept:
    card = json.loads((folder / "generator.json").read_text(encoding="utf-8"))
    return Kept.model_validate(card["record"]["kept"])
