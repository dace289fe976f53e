"""DICOM series: one image from all its files, ordered by geometry and time. Uses pydicom."""

from collections.abc import Sequence
from pathlib import Path

from audit.formats.raster import Format, Raster, parsing


def read(paths: Sequence[Path]) -> Raster:
    """Read the files of one series.

    Raises:
        UnusableFile: They are damaged, or do not make one image.
    """
    with parsing("the files of one DICOM series"):
        raise NotImplementedError("to follow")


FORMAT = Format(name="DICOM", suffixes=(".dcm", ".ima"), read=read)
