"""Loss curves on disk: JSON lines that a resumed stage continues, and TensorBoard beside them."""

import json
from pathlib import Path
from typing import Any

import torch

from audit.result import write_text


class History:
    """Losses of one stage, one line a step.

    Attributes:
        file: ``history.jsonl`` in the stage's folder.
    """

    def __init__(self, folder: Path, *, first_step: int, tensorboard: bool, write: bool) -> None:
        self.file = folder / "history.jsonl"
        self._board: Any = None
        self._lines: Any = None
        if not write:
            return
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_lines(self.file) if line["step"] < first_step]
        write_text(self.file, "".join(json.dumps(line) + "\n" for line in kept))
        self._lines = self.file.open("a", encoding="utf-8")
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Log one step."""
        if self._lines is not None:
            self._lines.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: torch.Tensor) -> None:
        """Show a gray image (y, x) in [0, 1]."""
        if self._board is not None:
            self._board.add_image(name, image[None], step)

    def flush(self) -> None:
        """Bring everything to disk."""
        if self._lines is not None:
            self._lines.flush()
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Flush and close."""
        if self._lines is not None:
            self._lines.close()
        if self._board is not None:
            self._board.close()


def read_lines(file: Path) -> list[dict[str, Any]]:
    """All complete lines of a history; a line cut off by a kill is left out."""
    lines: list[dict[str, Any]] = []
    if file.is_file():
        for text in file.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines
