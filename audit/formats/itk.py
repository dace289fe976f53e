"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) through SimpleITK."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audit.errors import UnusableFile
from audit.formats.raster import Format, Raster, affine_from_itk, no_geometry, parsing, quiet_stderr

HEADER_BYTES = 65536
DEFLATE_MAX_RATIO = 1032
DATA_FILE = re.compile(rb"^(?:ElementDataFile|data ?file)\s*[:=]\s*(.+?)\s*$", re.I | re.M)
SPACING = re.compile(rb"^(?:ElementSpacing|spacings)\s*[:=]\s*(.+?)\s*$", re.I | re.M)


def read(paths: Sequence[Path]) -> Raster:
    """Read one MetaImage or NRRD file; ITK's LPS becomes RAS.

    The fourth axis is time. Neither format fixes its unit, so the frame period stays unknown.

    Raises:
        UnusableFile: It is damaged, or keeps its voxels outside its folder.
    """
    import SimpleITK as sitk  # noqa: N813

    with parsing("a MetaImage or NRRD file"):
        available = sum(path.stat().st_size for path in files(paths))
        sitk.ProcessObject.GlobalWarningDisplayOff()
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(paths[0]))
        with quiet_stderr():
            reader.ReadImageInformation()
            _refuse_bad_header(_header_text(paths[0]), reader.GetSize(), available)
            image = reader.Execute()
        rank = image.GetDimension()
        if rank not in (2, 3, 4):
            raise UnusableFile(f"the image has {rank} axes", "2 to 4 (x, y, z, t)")
        array = sitk.GetArrayFromImage(image)
        if array.dtype.kind not in "iuf":
            raise UnusableFile(f"voxels are {array.dtype}", "one real number a voxel", "Convert it")
        channels = image.GetNumberOfComponentsPerPixel()
        array = array.reshape(*image.GetSize()[::-1], channels)
        array = np.moveaxis(array, -1, 0).T  # x y [z [t]] c
        for axis in range(rank, 4):
            array = np.expand_dims(array, axis)
        direction = np.eye(3)
        inner = np.reshape(image.GetDirection(), (rank, rank))[:3, :3]
        direction[: len(inner), : len(inner)] = inner
        affine = affine_from_itk(
            (*image.GetOrigin(), 0.0)[:3],
            (*image.GetSpacing(), 1.0)[:3],
            direction.ravel().tolist(),
        )
    return Raster(
        array=array,
        affine=affine,
        spacing_known=not no_geometry(affine),
        stored_dtype=str(array.dtype),
    )


def files(paths: Sequence[Path]) -> Sequence[Path]:
    """The header and, where it names one, the file with the voxels.

    Raises:
        UnusableFile: The named file lies outside the header's folder or is missing.
    """
    header = paths[0]
    found = DATA_FILE.search(_header_text(header))
    name = found.group(1).decode("utf-8", "replace") if found else "LOCAL"
    if name.upper() == "LOCAL":
        return (header,)
    folder = header.parent.resolve()
    data = (folder / name).resolve()
    if name.upper().startswith("LIST") or "%" in name or not data.is_relative_to(folder):
        raise UnusableFile(
            "the header keeps its voxels in a list of files or outside its folder",
            "one data file beside it",
            "Write it as .mha or .nrrd with the voxels inside",
        )
    if not data.is_file():
        raise UnusableFile("the data file that the header names is missing", "it beside the header")
    return (header, data)


def _header_text(header: Path) -> bytes:
    with parsing("a MetaImage or NRRD file"), header.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if header.suffix.lower() == ".nrrd":
        return start.partition(b"\n\n")[0]
    return start


def _refuse_bad_header(header: bytes, sizes: Sequence[int], available: int) -> None:
    """Before a voxel is read: ITK allocates what the header claims and mends a bad spacing."""
    if math.prod(sizes) > available * DEFLATE_MAX_RATIO:
        raise UnusableFile(
            f"the file holds {available} bytes",
            f"enough for its size of {'×'.join(map(str, sizes))}",
            "Copy it again",
        )
    stated = SPACING.search(header)
    steps = [float(step) for step in stated.group(1).split()] if stated else []
    bad = [step for step in steps if step <= 0 or math.isinf(step)]
    if bad:
        raise UnusableFile(
            f"the header says voxels of {bad[0]:g} mm", "a positive spacing", "Correct it"
        )


FORMAT = Format(
    name="MetaImage/NRRD", suffixes=(".mha", ".mhd", ".nrrd", ".nhdr"), read=read, files=files
)
