"""Grid: from cases to a generator's tensors and back to volumes with units and geometry."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audit.cohort import Case, Cohort
from audit.errors import BadInput
from audit.preprocessing import Preprocessing, fit_preprocessing
from audit.volume import LabelMap, Spacing, Volume
from generators.recipe import Data

Shape = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The grid, intensity window and structures of one generator.

    Attributes:
        preprocessing: Brings a volume to the padded grid and to [-1, 1].
        shape: Grid (t, z, y, x) of the volumes that come out.
        spacing_known: Whether any training volume stated its geometry.
        frame_ms: Median frame period of the training cohort in ms.
        structures: Names of the mask channels.
        groups: Names of the class labels.
    """

    preprocessing: Preprocessing
    shape: Shape
    spacing_known: bool = True
    frame_ms: float | None = None
    structures: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def image(self, volume: Volume) -> npt.NDArray[np.float32]:
        """Intensities (c, t, z, y, x) in [-1, 1] on the padded grid."""
        return self.preprocessing(volume)

    def codes(self, labels: LabelMap) -> npt.NDArray[np.uint8]:
        """Structures (t, z, y, x) on the padded grid; code i + 1 is ``structures[i]``.

        Raises:
            BadInput: A structure or frame without labels.
        """
        missing = [name for name in self.structures if name not in labels.names]
        if missing:
            raise BadInput(
                f"a label map lacks {', '.join(missing)}",
                f"the structures {', '.join(self.structures)}",
            )
        if len(labels.labeled_frames) < labels.array.shape[0]:
            raise BadInput(
                f"labels cover {len(labels.labeled_frames)} of {labels.array.shape[0]} frames",
                "every frame, to condition on",
            )
        coded: npt.NDArray[np.uint8] = np.zeros(labels.array.shape, dtype=np.uint8)
        for code, name in enumerate(self.structures, start=1):
            coded[labels.mask(name)] = code
        if labels.spacing_known:
            coded = _nearest(coded, labels.spacing_mm, self.preprocessing.spacing_mm)
        coded = coded.take(np.arange(self.shape[0]) % coded.shape[0], axis=0)
        return _center(coded, self.preprocessing.shape)

    def masks(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """One channel per structure: (k, t, z, y, x) of 0 and 1."""
        values = np.arange(1, len(self.structures) + 1, dtype=np.uint8).reshape(-1, 1, 1, 1, 1)
        return (codes[None] == values).astype(np.float32)

    def group(self, case: Case) -> int:
        """Class label of a case.

        Raises:
            BadInput: A group the generator does not know.
        """
        if case.group not in self.groups:
            raise BadInput(f"group '{case.group}'", f"one of {', '.join(self.groups)}")
        return self.groups.index(case.group)

    def volume(self, array: npt.NDArray[np.float32]) -> Volume:
        """Intensities (c, t, z, y, x) in [-1, 1] back to units, without the padding."""
        low, high = self.preprocessing.window
        cut = np.stack([_center(channel, self.shape) for channel in array])
        return Volume(
            array=((np.clip(cut, -1, 1) + 1) / 2 * (high - low) + low).astype(np.float32),
            spacing_mm=self.preprocessing.spacing_mm,
            spacing_known=self.spacing_known,
            frame_ms=self.frame_ms if self.shape[0] > 1 else None,
        )


def fit_grid(train: Cohort, data: Data, multiple: Shape) -> Grid:
    """Decide the grid from the training cohort, where the recipe leaves it open."""
    found = fit_preprocessing(train)
    shape = data.shape or found.shape
    padded = tuple(-(-size // m) * m for size, m in zip(shape, multiple, strict=True))
    window = data.window or found.window
    first = train[0].image
    return Grid(
        preprocessing=replace(
            found,
            shape=padded,  # type: ignore[arg-type]
            spacing_mm=data.spacing_mm or found.spacing_mm,
            window=window,
        ),
        shape=shape,
        spacing_known=first.spacing_known or data.spacing_mm is not None,
        frame_ms=first.frame_ms,
        structures=data.structures,
        groups=tuple(sorted({g for g in train.groups if g})) if data.class_labels else (),
    )


def _nearest(
    codes: npt.NDArray[np.uint8], source: Spacing, target: Spacing
) -> npt.NDArray[np.uint8]:
    """Nearest neighbor on the grid that ``Preprocessing`` resamples images to."""
    for axis, (old, new) in enumerate(zip(source, target, strict=True), start=1):
        size = codes.shape[axis]
        wanted = max(1, round(size * old / new))
        picks = ((np.arange(wanted) + 0.5) * size / wanted).astype(int)
        codes = codes.take(picks, axis=axis)
    return codes


def _center(array: npt.NDArray, shape: Shape) -> npt.NDArray:  # type: ignore[type-arg]
    """Crop or zero-pad (t, z, y, x) about the center, as ``Preprocessing`` does."""
    for axis in range(1, 4):
        size, want = array.shape[axis], shape[axis]
        if size > want:
            start = (size - want) // 2
            array = array.take(np.arange(start, start + want), axis=axis)
        elif size < want:
            before = (want - size) // 2
            pad = [(0, 0)] * 4
            pad[axis] = (before, want - size - before)
            array = np.pad(array, pad)
    return array
