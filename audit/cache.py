"""Content-addressed store of arrays: the key is a hash of all that the array depends on."""

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.result import write_bytes


def key_of(**parts: Any) -> str:
    """SHA-256 of named parts; order does not matter, every changed byte does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Cache:
    """Arrays by key under one folder; several processes may share it (writes are atomic).

    Attributes:
        root: The folder. Holds embeddings and weights derived from patients: never share it.
    """

    root: Path

    def path(self, key: str, suffix: str = ".npz") -> Path:
        """Where an entry of this key lies, whether or not it exists."""
        return self.root / key[:2] / f"{key}{suffix}"

    def arrays(
        self, key: str, make: Callable[[], Mapping[str, npt.NDArray[Any]]]
    ) -> dict[str, npt.NDArray[Any]]:
        """Read the arrays under a key, or make and store them.

        A damaged entry is made again.
        """
        stored = self.read(key)
        if stored is not None:
            return stored
        made = dict(make())
        self.write(key, made)
        return made

    def read(self, key: str) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays under a key; None where there are none, or they are damaged."""
        file = self.path(key)
        try:
            # Opened here, for numpy leaves a damaged file open.
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            file.unlink(missing_ok=True)
            return None

    def write(self, key: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store arrays under a key, atomically."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_bytes(self.path(key), buffer.getvalue())


def default_cache() -> Cache:
    """The user's cache: ``$VOXAUDIT_CACHE``, else ``~/.cache/voxaudit``."""
    return Cache(Path(os.environ.get("VOXAUDIT_CACHE", Path.home() / ".cache" / "voxaudit")))
