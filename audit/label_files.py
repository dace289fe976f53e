"""LabelMap from the label files of one case, held to the grid of its image."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import UnusableFile
from audit.formats.canonical import to_ras
from audit.formats.raster import Affine, Raster
from audit.layouts.row import Mask
from audit.volume import LabelMap, Spacing, Volume, read_image_raster, spacing_zyx

Codes = npt.NDArray[np.int16]
GRID_TOLERANCE = 0.25
"""How far corners of mask and image may lie apart, in voxels of the smallest spacing."""


def read_labels(
    masks: Sequence[Mask],
    *,
    image: Volume | None,
    names: Mapping[str, int] | None,
    labeled_frames: Sequence[int] | None = None,
    spacing_mm: Spacing | None = None,
) -> LabelMap:
    """Read one label map of codes, one such map a frame, or one binary mask a structure.

    Args:
        masks: The files.
        image: What they label; None for a condition that is a mask only.
        names: Code of each structure; binary masks are numbered in order where it has none.
        labeled_frames: Frames that carry labels; None means all.
        spacing_mm: As in ``read_volume``.

    Raises:
        UnusableFile: A file is damaged, on another grid, or holds codes without a name.
    """
    rasters = [_open(mask, spacing_mm) for mask in masks]
    for raster in rasters:
        _refuse_other_grid(raster, image, rasters[0])
    if any(mask.structure for mask in masks):
        names = _numbered(masks, names)
        codes = _stacked(masks, rasters, names)
    elif masks[0].frame is not None:
        codes = _placed(masks, rasters, image)
        labeled_frames = sorted(m.frame for m in masks if m.frame is not None)
    else:
        codes = _codes(rasters[0])
    codes, frames = _on_frames(codes, image, labeled_frames)
    return LabelMap(
        array=codes,
        names=_named(codes, names),
        spacing_mm=image.spacing_mm if image else spacing_zyx(rasters[0].affine),
        spacing_known=image.spacing_known if image else rasters[0].spacing_known,
        frame_ms=image.frame_ms if image else (rasters[0].frame_ms if len(codes) > 1 else None),
        frames=frames,
    )


def _open(mask: Mask, spacing_mm: Spacing | None) -> Raster:
    try:
        return to_ras(read_image_raster(mask.path, spacing_mm=spacing_mm))
    except UnusableFile as error:
        raise UnusableFile(f"its mask: {error.observed}", error.expected, error.remedy) from error


def _codes(raster: Raster) -> Codes:
    """(t, z, y, x) of whole numbers."""
    if raster.array.shape[4] != 1:
        raise UnusableFile(f"the mask has {raster.array.shape[4]} channels", "one")
    values = raster.array[..., 0].transpose(3, 2, 1, 0)
    with np.errstate(invalid="ignore"):
        codes = values.astype(np.int16)
    if not np.array_equal(codes, values) or codes.min() < 0:
        raise UnusableFile(
            "the mask holds values that are no codes", "whole numbers from 0 to 32767"
        )
    return np.ascontiguousarray(codes)


def _stacked(masks: Sequence[Mask], rasters: Sequence[Raster], names: Mapping[str, int]) -> Codes:
    """Binary masks as codes; where they overlap the later column lies on top."""
    frames = max(r.array.shape[3] for r in rasters)
    codes = np.zeros((frames, *rasters[0].array.shape[2::-1]), dtype=np.int16)
    for mask, raster in zip(masks, rasters, strict=True):
        part = _codes(raster)
        if part.max() > 1 or len(part) not in (1, frames):
            raise UnusableFile(
                f"the mask of '{mask.structure}' holds codes up to {part.max()}",
                "0 and 1 on the frames of the others",
            )
        codes[np.broadcast_to(part > 0, codes.shape)] = names[str(mask.structure)]
    return codes


def _placed(masks: Sequence[Mask], rasters: Sequence[Raster], image: Volume | None) -> Codes:
    """Maps of single frames, each at its frame."""
    frames = image.frames if image else 1 + max(m.frame or 0 for m in masks)
    codes = np.zeros((frames, *rasters[0].array.shape[2::-1]), dtype=np.int16)
    for mask, raster in zip(masks, rasters, strict=True):
        part = _codes(raster)
        if mask.frame is None or not 0 <= mask.frame < frames or len(part) != 1:
            raise UnusableFile(
                f"a label map of {len(part)} frames stands for frame {mask.frame}",
                f"one frame, from 0 to {frames - 1}",
            )
        codes[mask.frame] = part[0]
    return codes


def _on_frames(
    codes: Codes, image: Volume | None, labeled: Sequence[int] | None
) -> tuple[Codes, tuple[int, ...] | None]:
    frames = image.frames if image else len(codes)
    if len(codes) == 1 and frames > 1 and labeled is not None and len(labeled) == 1:
        spread = np.zeros((frames, *codes.shape[1:]), dtype=np.int16)
        if 0 <= labeled[0] < frames:
            spread[labeled[0]] = codes[0]
        codes = spread
    if len(codes) != frames:
        raise UnusableFile(
            f"the mask has {len(codes)} frames and its image {frames}",
            "as many, or one with labeled_frames",
        )
    if labeled is None:
        return codes, None
    if not all(0 <= f < frames for f in labeled):
        raise UnusableFile(f"labeled frames reach {max(labeled)}", f"0 to {frames - 1}")
    return codes, tuple(labeled)


def _numbered(masks: Sequence[Mask], names: Mapping[str, int] | None) -> dict[str, int]:
    structures = [str(mask.structure) for mask in masks]
    if names is None:
        return {structure: code for code, structure in enumerate(structures, start=1)}
    unnamed = sorted(set(structures) - set(names))
    if unnamed:
        raise UnusableFile(f"the mask of '{unnamed[0]}' has no code", "one in labels.json")
    return dict(names)


def _named(codes: Codes, names: Mapping[str, int] | None) -> Mapping[str, int]:
    found = [int(code) for code in np.unique(codes) if code]
    unnamed = found if names is None else sorted(set(found) - set(names.values()))
    if unnamed or names is None:
        shown = ", ".join(map(str, unnamed[:5])) or "none yet"
        raise UnusableFile(
            f"the mask has codes without a name ({shown})",
            'a name for each, such as {"lv": 3, "myocardium": 2} in labels.json',
            "Add labels.json beside the cohort",
        )
    return names


def _refuse_other_grid(raster: Raster, image: Volume | None, first: Raster) -> None:
    sizes = raster.array.shape[2::-1]
    want = image.shape[2:] if image else first.array.shape[2::-1]
    affine = image.affine if image else first.affine
    known = image.spacing_known if image else first.spacing_known
    apart = 0.0
    if sizes == want and raster.spacing_known and known and affine is not None:
        apart = _corner_distance(raster.affine, affine, sizes)
    if sizes != want or raster.spacing_known != known or apart > GRID_TOLERANCE:
        raise UnusableFile(
            f"the mask lies on another grid than its image ({_grid(sizes, raster.spacing_known)}, "
            f"image {_grid(want, known)}, {apart:.2g} voxels apart)",
            "the same size and affine",
            "Resample the mask to the image",
        )


def _corner_distance(one: Affine, other: Affine, sizes: Sequence[int]) -> float:
    z, y, x = sizes
    corners = np.array([(*c, 1) for c in product((0, x - 1), (0, y - 1), (0, z - 1))])
    apart = np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max()
    return float(apart / min(spacing_zyx(other)))


def _grid(sizes: Sequence[Any], known: bool) -> str:  # noqa: FBT001
    text = "×".join(str(n) for n in reversed(sizes))
    return text if known else f"{text} without geometry"
