"""A folder as a registry: every module in it that defines the named constant is an entry."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from audit.errors import BadInput, did_you_mean


@dataclass(frozen=True)
class Registry:
    """Entries of one kind, found by their path under a package.

    Attributes:
        package: Import name of the folder, such as ``audit.metrics``.
        constant: Name that a module defines to be an entry, such as ``METRIC``.
    """

    package: str
    constant: str

    def names(self) -> tuple[str, ...]:
        """All entries, dotted and sorted, without importing any of them."""
        return _names(self.package, self.constant)

    def load(self, name: str) -> Any:
        """Import one entry and return its constant.

        Raises:
            BadInput: No entry has this name.
        """
        if name not in self.names():
            raise BadInput(f"{self.package} has no '{name}'", did_you_mean(name, self.names()))
        return getattr(importlib.import_module(f"{self.package}.{name}"), self.constant)

    def match(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """Names that fit any of the globs, in sorted order.

        Raises:
            BadInput: A pattern fits nothing.
        """
        for pattern in patterns:
            if not any(fnmatch(name, pattern) for name in self.names()):
                raise BadInput(
                    f"'{pattern}' matches nothing in {self.package}",
                    did_you_mean(pattern, self.names()),
                )
        return tuple(n for n in self.names() if any(fnmatch(n, p) for p in patterns))


@cache
def _names(package: str, constant: str) -> tuple[str, ...]:
    root = Path(next(iter(importlib.import_module(package).__path__)))
    return tuple(sorted(_entries(root, "", constant)))


def _entries(folder: Path, prefix: str, constant: str) -> Iterator[str]:
    for module in pkgutil.iter_modules([str(folder)]):
        if module.ispkg:
            yield from _entries(folder / module.name, f"{prefix}{module.name}.", constant)
        elif f"\n{constant} = " in (folder / f"{module.name}.py").read_text(encoding="utf-8"):
            yield prefix + module.name
