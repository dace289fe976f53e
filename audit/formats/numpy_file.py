"""NumPy arrays (.npy): no geometry, so millimeters are never computable from them."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np

from audit.errors import UnusableFile
from audit.formats.raster import Format, Raster, parsing


def read(paths: Sequence[Path]) -> Raster:
    """Read (y, x), (z, y, x), (t, z, y, x) or (c, t, z, y, x); nothing is unpickled.

    Raises:
        UnusableFile: It is damaged, or no array of real numbers.
    """
    with parsing("a .npy file", SyntaxError, TokenError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers written by Python 2
        array = np.load(io.BytesIO(paths[0].read_bytes()), allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iufb":
            raise UnusableFile("the file is no array of real numbers", "one", "Convert it")
        if not 2 <= array.ndim <= 5 or array.size == 0:
            raise UnusableFile(
                f"the array has the shape {array.shape}", "2 to 5 axes, ending in z, y, x"
            )
    stored = str(array.dtype)
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    array = array.reshape((1,) * (5 - array.ndim) + array.shape)
    return Raster(
        array=array.transpose(4, 3, 2, 1, 0),
        affine=np.eye(4),
        spacing_known=False,
        stored_dtype=stored,
    )


FORMAT = Format(name="NumPy", suffixes=(".npy",), read=read)
