"""Row: where one case lies and what is known of it before a voxel is read; and what a layout is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit.errors import UnusableFile


@dataclass(frozen=True, kw_only=True)
class Mask:
    """One label file of a case.

    Attributes:
        path: The file.
        frame: The only frame it labels; None where it covers the image's frames.
        structure: Its one structure where it is binary; None where it holds codes.
    """

    path: Path
    frame: int | None = None
    structure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case on disk.

    Attributes:
        id: Unique within the cohort.
        subject: Whose volume it is.
        image: The file, or the files of a DICOM series; empty where the case is a mask only.
        masks: Its label files.
        labeled_frames: Frames that carry labels; None means all.
        spacing_mm: Along the file's (x, y, z), where it overrides the header.
        frame_ms: Frame period, where it overrides the header.
        condition: Id of the condition it was asked to follow.
        group: Class or pathology.
        split: Name of its part, such as ``test``; None where the layout has no splits.
        attributes: Further numbers by name.
        problem: Why it cannot be used, where that is known already.
    """

    id: str
    subject: str
    image: tuple[Path, ...] = ()
    masks: tuple[Mask, ...] = ()
    labeled_frames: tuple[int, ...] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    frame_ms: float | None = None
    condition: str | None = None
    group: str | None = None
    split: str | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    problem: UnusableFile | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All rows of one place.

    Attributes:
        root: The folder that paths are shown relative to.
        rows: In a stable order.
        names: Code of each structure; None where nobody said.
        notes: Sentences for the result, such as what was assumed.
    """

    root: Path
    rows: Sequence[Row]
    names: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How cohorts of one folder structure are found.

    Attributes:
        name: As printed.
        recognizes: Whether a path has this layout; cheap.
        find: Lists it; takes the path and the keyword ``allow_outside``.
        rank: Layouts are asked in this order; the general ones last.
    """

    name: str
    recognizes: Callable[[Path], bool]
    find: Callable[..., Listing]
    rank: int = 0
