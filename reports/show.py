"""Draw one case of a run in a notebook; returns matplotlib axes to restyle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from audit.errors import BadInput, did_you_mean
from audit.run_path import find_run
from reports.exemplars import Exemplar, read_exemplars

if TYPE_CHECKING:
    import numpy.typing as npt

Kind = Literal["slices", "cine"]


def show(
    run: str | Path, name: str | None = None, *, kind: Kind = "slices", frames: int = 8
) -> "npt.NDArray[Any]":
    """Draw a synthetic volume that the run kept.

    Args:
        run: Run folder, or ``runs/latest``.
        name: Id of the case; None takes the first.
        kind: ``slices``: three planes through the center; ``cine``: the central slice over time.
        frames: Frames of a cine to draw, evenly spread.

    Returns:
        Array of matplotlib axes.

    Raises:
        BadInput: The run kept no such case, or it has a single frame.
    """
    import matplotlib.pyplot as plt

    case = _find(run, name)
    if kind == "cine":
        if not case.is_cine:
            raise BadInput(f"'{case.name}' has a single frame", "a cine", "Use kind='slices'")
        picks = np.unique(np.linspace(0, len(case.image) - 1, frames).astype(int))
        pictures = [(f"frame {t}", case.image[t, case.center[0]]) for t in picks]
    else:
        z, y, x = case.center
        volume = case.image[0]
        pictures = [("axial", volume[z]), ("coronal", volume[:, y]), ("sagittal", volume[:, :, x])]
    figure, axes = plt.subplots(1, len(pictures), figsize=(2.6 * len(pictures), 2.9), squeeze=False)
    for axis, (title, picture) in zip(axes[0], pictures, strict=True):
        axis.imshow(picture, cmap="gray", origin="lower", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    figure.suptitle(case.name)
    return np.asarray(axes[0])


def _find(run: str | Path, name: str | None) -> Exemplar:
    kept = {case.name: case for case in read_exemplars(find_run(run) / "exemplars")}
    if not kept:
        raise BadInput("the run kept no volumes", "a folder exemplars/", "Score the run again")
    if name is None:
        return next(iter(kept.values()))
    if name not in kept:
        raise BadInput(f"the run kept no case '{name}'", did_you_mean(name, kept))
    return kept[name]
