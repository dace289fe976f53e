"""Raster: what a file says, before it becomes a Volume or a LabelMap; and what a format is.

Arrays here are ``x y z t c`` in the file's own order; the affine maps voxel (x, y, z) to RAS mm.
"""

import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import UnusableFile

Affine = npt.NDArray[np.float64]

PARSER_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
)
"""What third-party parsers raise on damaged bytes."""
_STDERR = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Content of one image in one file (or one DICOM series).

    Attributes:
        array: Values of shape (x, y, z, t, c), any numeric dtype, already rescaled.
        affine: 4×4 voxel (x, y, z) to RAS mm.
        spacing_known: False where the file states no geometry.
        frame_ms: Frame period in ms where the file states one.
        stored_dtype: Data type on disk, such as ``int16``.
    """

    array: npt.NDArray[Any]
    affine: Affine
    spacing_known: bool = True
    frame_ms: float | None = None
    stored_dtype: str = ""


@dataclass(frozen=True, kw_only=True)
class Format:
    """How one file format is read.

    Attributes:
        name: As printed.
        suffixes: File name endings, lower case, with the dot.
        read: Reads the files of one image: a single file, or those of a DICOM series.
        files: All files whose bytes make up the image (a header may keep its voxels elsewhere).
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Sequence[Path]], Raster]
    files: Callable[[Sequence[Path]], Sequence[Path]] = lambda paths: paths


@contextmanager
def parsing(what: str, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever a parser raises on damaged bytes into UnusableFile.

    Args:
        what: What was expected, such as ``a NIfTI file``.
        more: Errors of the parser's own, beside the usual ones.

    Raises:
        UnusableFile: The block raised a parser's error.
    """
    try:
        yield
    except UnusableFile:
        raise
    except FileNotFoundError as error:
        raise UnusableFile("the file does not exist", what, "Correct the path") from error
    except PermissionError as error:
        raise UnusableFile("the file may not be read", what, "Change its permissions") from error
    except (EOFError, zlib.error) as error:
        raise UnusableFile(
            "the compressed stream is damaged or ends early", what, "Copy the file again"
        ) from error
    except (*PARSER_ERRORS, *more) as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise UnusableFile(
            f"the file cannot be decoded ({said})", what, "Copy or export it again"
        ) from error


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what C libraries write on stderr of their own: our one line says what is wrong.

    One thread at a time, since the stream is the whole process's.
    """
    with _STDERR, Path(os.devnull).open("wb") as void:
        kept = os.dup(2)
        try:
            os.dup2(void.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Voxel size along (x, y, z) in mm."""
    x, y, z = (float(s) for s in np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    return x, y, z


def affine_from_itk(
    origin: Sequence[float], spacing: Sequence[float], direction: Sequence[float]
) -> Affine:
    """RAS affine of ITK's LPS origin, spacing and row-major 3×3 direction."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    affine[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def no_geometry(affine: Affine) -> bool:
    """Whether an affine is the identity, which writers leave where they know nothing."""
    return bool(np.allclose(np.abs(affine), np.eye(4), atol=1e-6))
