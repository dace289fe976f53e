"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped.

Reference: https://nifti.nimh.nih.gov/nifti-1 (affines, units, scaling).
"""

import gzip
import logging
import math
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import UnusableFile
from audit.formats.raster import Affine, Format, Raster, no_geometry, parsing

_LOGGER = threading.Lock()
MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
DEFLATE_MAX_RATIO = 1032
GZIP_WINDOW = 31
"""What zlib calls a gzip wrapper with the largest window."""
SLACK_BYTES = 2**26
"""Room for header extensions and padding: a stream that unpacks to more is a bomb."""
MAX_FRAME_MS = 60_000.0
"""A longer period is a wrong unit: milliseconds in a field of seconds."""
MS_PER_UNIT = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}


def read(paths: Sequence[Path]) -> Raster:
    """Read one NIfTI file.

    An identity affine with unit voxels and no origin counts as unknown spacing; a frame period of
    exactly 1 s as unknown, since writers leave that where nobody set it, and so does one beyond a
    minute, whose unit is wrong.

    Raises:
        UnusableFile: It is damaged or of a kind that is no image.
    """
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError
    from nibabel.wrapstruct import WrapStructError

    own = (HeaderDataError, HeaderTypeError, ImageFileError, WrapStructError)
    with parsing("a NIfTI file", *own):
        raw = _unpacked(paths[0].read_bytes())
        return _decode(raw)


def write(
    path: Path,
    array: npt.NDArray[Any],
    affine: Affine,
    *,
    frame_ms: float | None = None,
) -> bytes:
    """Bytes of a NIfTI-1 file; gzipped where the name ends in ``.gz``, and then reproducibly.

    Args:
        path: Decides on compression only.
        array: (x, y, z), (x, y, z, t) or (x, y, z, t, c).
        affine: 4×4 to RAS mm.
        frame_ms: Frame period in ms; 0 is written where it is None.
    """
    import nibabel as nib

    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm", "msec")
    if array.ndim > 3:
        image.header["pixdim"][4] = frame_ms or 0.0
    data: bytes = image.to_bytes()
    return gzip.compress(data, compresslevel=3, mtime=0) if path.name.endswith(".gz") else data


def _unpacked(raw: bytes) -> bytes:
    """Bytes of a file, gzipped or not; never more than its own header claims, and some slack."""
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        head = zlib.decompressobj(GZIP_WINDOW).decompress(raw, 540)
        if len(head) < 348:
            raise EOFError
        return _members(raw, SLACK_BYTES + min(_claimed(head), len(raw) * DEFLATE_MAX_RATIO))
    except (EOFError, zlib.error) as error:
        raise UnusableFile(
            f"the gzip stream of {len(raw)} bytes is damaged or ends early",
            "a complete .nii.gz",
            "Copy the file again",
        ) from error


def _members(raw: bytes, limit: int) -> bytes:
    """All members of a gzip stream, one after the other, with their checksums tested."""
    parts: list[bytes] = []
    rest, room = raw, limit
    while rest:
        member = zlib.decompressobj(GZIP_WINDOW)
        part = member.decompress(rest, room)
        room -= len(part)
        if room <= 0:
            raise UnusableFile(
                f"the gzip stream unpacks to more than {limit} bytes",
                "what its header claims",
                "Export it again",
            )
        if not member.eof:
            raise EOFError
        parts.append(part)
        rest = member.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _claimed(head: bytes) -> int:
    """Bytes of voxels that a header claims."""
    kind = _kind(head)
    header = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
    sizes = [max(1, int(n)) for n in header["dim"][1:8]]
    return math.prod(sizes) * int(header.get_data_dtype().itemsize)


def _decode(raw: bytes) -> Raster:
    kind = _kind(raw)
    header = kind.header_class(raw[: kind.header_class.sizeof_hdr], check=False)
    _refuse_bad_sizes(header, len(raw))
    with _quiet_nibabel():
        image = kind.from_bytes(raw)
    with np.errstate(all="ignore"):
        dtype = image.get_data_dtype()
        if dtype.names is not None or dtype.kind not in "iuf":
            raise UnusableFile(f"voxels are {dtype}", "one real number a voxel", "Convert it")
        array = np.asanyarray(image.dataobj)
        spatial, temporal = image.header.get_xyzt_units()
        scale = MM_PER_UNIT.get(spatial, 1.0)
        affine = np.diag([scale, scale, scale, 1.0]) @ np.asarray(image.affine, dtype=np.float64)
        placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        bare = np.allclose(header["pixdim"][1:4], 1.0) and (not placed or no_geometry(affine))
    return Raster(
        array=array.reshape(array.shape + (1,) * (5 - array.ndim)),
        affine=np.eye(4) if bare else affine,  # nibabel would mirror x where no affine is given
        spacing_known=not bare,
        frame_ms=_frame_ms(float(str(header["pixdim"][4])), temporal) if array.ndim > 3 else None,
        stored_dtype=str(dtype),
    )


def _kind(raw: bytes) -> Any:
    import nibabel as nib

    size = (int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big"))
    if 348 in size and raw[344:347] == b"n+1":
        return nib.Nifti1Image
    if 540 in size and raw[4:7] == b"n+2":
        return nib.Nifti2Image
    raise UnusableFile(
        "the file does not start with a NIfTI header", "magic n+1 or n+2", "Export it again"
    )


def _refuse_bad_sizes(header: Any, available: int) -> None:
    rank = int(header["dim"][0])
    if not 2 <= rank <= 5:
        raise UnusableFile(
            f"the image has {rank} axes", "2 to 5 (x, y, z, t, c)", "Split or squeeze it"
        )
    sizes = [int(n) for n in header["dim"][1 : rank + 1]]
    if min(sizes) < 1:
        raise UnusableFile(f"the image has the sizes {sizes}", "at least one voxel along each axis")
    zooms = [float(s) for s in header["pixdim"][1:4]]
    bad = [s for s in zooms[: min(rank, 3)] if not s > 0 or not np.isfinite(s)]
    if bad:
        raise UnusableFile(
            f"the header says voxels of {bad[0]:g} mm", "a positive spacing", "Correct pixdim"
        )
    offset = float(header["vox_offset"])
    held = available - int(offset) if 0 <= offset < available else 0
    need = int(np.prod(sizes, dtype=object)) * header.get_data_dtype().itemsize
    if need > held:
        raise UnusableFile(
            f"the file holds {held} bytes of voxels",
            f"{need} for its size of {'×'.join(map(str, sizes))}",
            "Copy it again",
        )


def _frame_ms(step: float, unit: str) -> float | None:
    if unit not in MS_PER_UNIT or not np.isfinite(step) or step <= 0:
        return None
    if unit == "sec" and step == 1.0:  # the default of writers that were told nothing
        return None
    period = round(step * MS_PER_UNIT[unit], 6)
    return period if period <= MAX_FRAME_MS else None


@contextmanager
def _quiet_nibabel() -> Iterator[None]:
    """Keep nibabel from logging its own lines about a damaged header; one thread at a time."""
    logger = logging.getLogger("nibabel.global")
    with _LOGGER:
        was, logger.disabled = logger.disabled, True
        try:
            yield
        finally:
            logger.disabled = was


FORMAT = Format(name="NIfTI", suffixes=(".nii", ".nii.gz"), read=read)
