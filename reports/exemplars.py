"""Volumes that a run kept for drawing, as WebP sprites and small NIfTI files."""

import base64
import gzip
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
PLANES = ("axial", "coronal", "sagittal")
LABEL_COLORS = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0),
    (0, 114, 178), (153, 153, 153),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Exemplar:
    """One volume as the run folder keeps it.

    Attributes:
        name: Id of a synthetic case, pseudonym of a real one.
        role: ``synthetic``, ``train`` or ``holdout``.
        image: (t, z, y, x), 0 to 255.
        labels: (t, z, y, x) codes, or None.
        spacing_mm: (z, y, x).
        frame_ms: Time between frames, or None.
    """

    name: str
    role: str
    image: Bytes
    labels: npt.NDArray[np.int16] | None
    spacing_mm: tuple[float, float, float]
    frame_ms: float | None

    @property
    def is_cine(self) -> bool:
        """Whether there is more than one frame."""
        return self.image.shape[0] > 1

    @property
    def center(self) -> tuple[int, int, int]:
        """Slice (z, y, x) to show first: the middle of what is labeled, else of the volume."""
        inside = self._cavity()
        if inside is None:
            z, y, x = (size // 2 for size in self.image.shape[1:])
        else:
            z, y, x = (int(v) for v in np.median(np.argwhere(inside), axis=0).round())
        return z, y, x

    def _cavity(self) -> npt.NDArray[np.bool_] | None:
        if self.labels is None or not self.is_cine:
            return None
        inside = self.labels[0] > 0
        return inside if inside.any() else None


def read_exemplars(folder: Path) -> list[Exemplar]:
    """All exemplars of a folder in order; an absent folder has none."""
    return [_read(file) for file in sorted(folder.glob("*.npz"))]


def _read(file: Path) -> Exemplar:
    with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Exemplar(
        name=str(arrays.get("id", file.stem)),
        role=str(arrays.get("role", "synthetic")),
        image=arrays["image"],
        labels=arrays.get("labels"),
        spacing_mm=tuple(float(s) for s in arrays["spacing_mm"]),  # type: ignore[arg-type]
        frame_ms=float(arrays["frame_ms"]) if "frame_ms" in arrays else None,
    )


def plane_stack(volume: npt.NDArray[Any], plane: str) -> npt.NDArray[Any]:
    """Slices (k, rows, columns) of a (z, y, x) volume as a radiologist looks at them.

    Superior or anterior is up; the patient's right is on the left (arrays are RAS).
    """
    axes = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}[plane]
    return volume.transpose(axes)[:, ::-1, ::-1]


def plane_mm(spacing_mm: Sequence[float], shape: Sequence[int], plane: str) -> tuple[float, float]:
    """Height and width of a plane in mm."""
    z, y, x = (s * n for s, n in zip(spacing_mm, shape, strict=True))
    return {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[plane]


def sprite(tiles: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Tiles (k, rows, columns[, 4]) in a near-square grid, and its number of columns."""
    k, rows, columns = tiles.shape[:3]
    across = math.ceil(math.sqrt(k * rows / columns))
    down = math.ceil(k / across)
    sheet = np.zeros((down * rows, across * columns, *tiles.shape[3:]), dtype=np.uint8)
    for i, tile in enumerate(tiles):
        top, left = (i // across) * rows, (i % across) * columns
        sheet[top : top + rows, left : left + columns] = tile
    return sheet, across


def webp_uri(pixels: npt.NDArray[Any], *, quality: int = 82) -> str:
    """Grey (rows, columns) or RGBA pixels as a ``data:`` link; RGBA is stored without loss."""
    from PIL import Image

    buffer = io.BytesIO()
    mode = "RGBA" if pixels.ndim == 3 else "L"
    image = Image.fromarray(np.ascontiguousarray(pixels), mode=None).convert(
        "RGBA" if mode == "RGBA" else "RGB"
    )
    image.save(buffer, "WEBP", quality=quality, method=4, lossless=mode == "RGBA")
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def colored(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Label codes as translucent colors (..., 4)."""
    table = np.zeros((256, 4), dtype=np.uint8)
    for code in range(1, 256):
        table[code] = (*LABEL_COLORS[(code - 1) % len(LABEL_COLORS)], 110)
    return table[np.clip(labels, 0, 255).astype(np.uint8)]


def smaller(exemplar: Exemplar, most_voxels: int) -> Exemplar:
    """The volume with every k-th voxel in plane, and then every k-th frame, until it fits."""
    image, labels = exemplar.image, exemplar.labels
    step = 1
    while image[:, :, ::step, ::step].size > most_voxels and step < 4:
        step += 1
    skip = math.ceil(image[:, :, ::step, ::step].size / most_voxels)
    cut = np.s_[::skip, :, ::step, ::step]
    z, y, x = exemplar.spacing_mm
    return replace(
        exemplar,
        image=image[cut],
        labels=labels[cut] if labels is not None else None,
        spacing_mm=(z, y * step, x * step),
    )


def viewer_entry(exemplar: Exemplar, *, quality: int = 82, slices: int = 64) -> dict[str, Any]:
    """What the page's script needs to show one volume: sprites of planes and of the cine."""
    z, y, x = exemplar.center
    frame = exemplar.image[0]
    entry: dict[str, Any] = {
        "name": exemplar.name,
        "role": exemplar.role,
        "planes": {},
        "frames": exemplar.image.shape[0],
        "frame_ms": exemplar.frame_ms or 40.0,
    }
    starts = {"axial": z, "coronal": y, "sagittal": x}
    for plane in PLANES:
        stack = plane_stack(frame, plane)
        step = math.ceil(len(stack) / slices)
        masks = plane_stack(exemplar.labels[0], plane) if exemplar.labels is not None else None
        kept = masks[::step] if masks is not None else None
        entry["planes"][plane] = _sheet(stack[::step], kept, exemplar, plane, quality) | {
            "start": min(starts[plane] // step, len(stack[::step]) - 1)
        }
    if exemplar.is_cine:
        masks = exemplar.labels[:, z] if exemplar.labels is not None else None
        entry["cine"] = _sheet(
            exemplar.image[:, z, ::-1, ::-1],
            masks[:, ::-1, ::-1] if masks is not None else None,
            exemplar,
            "axial",
            quality,
        ) | {"start": 0}
    return entry


def _sheet(
    tiles: npt.NDArray[Any],
    masks: npt.NDArray[Any] | None,
    exemplar: Exemplar,
    plane: str,
    quality: int,
) -> dict[str, Any]:
    sheet, across = sprite(tiles)
    height, width = plane_mm(exemplar.spacing_mm, exemplar.image.shape[1:], plane)
    found: dict[str, Any] = {
        "src": webp_uri(sheet, quality=quality),
        "n": len(tiles),
        "across": across,
        "tile": [int(tiles.shape[2]), int(tiles.shape[1])],
        "aspect": round(width / height, 4),
    }
    if masks is not None and masks.any():
        found["mask"] = webp_uri(sprite(colored(masks))[0])
    return found


def contact_sheet(exemplars: Sequence[Exemplar], *, cell: int = 128) -> Bytes:
    """Middle axial slice of each volume, side by side at one size."""
    return np.concatenate([_fitted(_middle(e), e, cell) for e in exemplars], axis=1)


def richest_slice(labels: npt.NDArray[Any]) -> int:
    """Axial slice of a (z, y, x) label map with most structures, and of these most voxels."""
    sizes = [(len(np.unique(plane)), int((plane > 0).sum())) for plane in labels]
    return max(range(len(sizes)), key=lambda z: sizes[z])


def labeled_slice(exemplar: Exemplar, z: int, *, cell: int = 128) -> Bytes:
    """One axial slice of the first frame with its labels in color: (cell, cell, 4)."""
    picture = np.zeros((cell, cell, 4), dtype=np.uint8)
    picture[..., 3] = 255
    gray = _fitted(plane_stack(exemplar.image[0], "axial")[z], exemplar, cell)[..., None]
    picture[..., :3] = gray
    if exemplar.labels is not None:
        codes = plane_stack(exemplar.labels[0], "axial")[z].clip(0, 255).astype(np.uint8)
        colors = colored(_fitted(codes, exemplar, cell, smooth=False)).astype(np.float32)
        share = colors[..., 3:] / 255
        picture[..., :3] = gray * (1 - share) + colors[..., :3] * share
    return picture


def middle_planes(exemplar: Exemplar, *, cell: int = 192) -> Bytes:
    """The three planes through the center, side by side, in true proportions."""
    starts = dict(zip(PLANES, exemplar.center, strict=True))
    tiles = [
        _fitted(plane_stack(exemplar.image[0], plane)[starts[plane]], exemplar, cell, plane)
        for plane in PLANES
    ]
    return np.concatenate(tiles, axis=1)


def m_mode(exemplar: Exemplar) -> Bytes:
    """One line through the center over two cycles: position down, time across."""
    z, y, _ = exemplar.center
    line = exemplar.image[:, z, y, ::-1]
    return np.concatenate([line, line]).T


def resized(pixels: npt.NDArray[Any], width: int, height: int, *, smooth: bool = True) -> Bytes:
    """Pixels at another size: bicubic, or the nearest where they are codes."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(image.resize((width, height), how))


def nifti_base64(exemplar: Exemplar, what: str = "image") -> str:
    """Gzipped NIfTI of image or labels as base64, for the volume viewer."""
    import nibabel

    array = exemplar.image if what == "image" else exemplar.labels
    assert array is not None
    voxels = np.asarray(array).astype(np.uint8).transpose(3, 2, 1, 0)
    voxels = voxels[..., 0] if voxels.shape[3] == 1 else voxels
    z, y, x = exemplar.spacing_mm
    affine = np.diag([x, y, z, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip((x, y, z), voxels.shape[:3], strict=True)]
    data = nibabel.Nifti1Image(voxels, affine).to_bytes()
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def as_json(entries: Sequence[dict[str, Any]]) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(entries, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _middle(exemplar: Exemplar) -> npt.NDArray[Any]:
    return plane_stack(exemplar.image[0], "axial")[exemplar.center[0]]


def _fitted(
    pixels: npt.NDArray[Any],
    exemplar: Exemplar,
    cell: int,
    plane: str = "axial",
    *,
    smooth: bool = True,
) -> Bytes:
    height, width = plane_mm(exemplar.spacing_mm, exemplar.image.shape[1:], plane)
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = np.zeros((cell, cell), dtype=np.uint8)
    top, left = (cell - size[1]) // 2, (cell - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = resized(pixels, *size, smooth=smooth)
    return square
