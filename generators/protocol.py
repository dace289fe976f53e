"""VolumeGenerator: what every generator offers, ours or a user's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from audit.cohort import Case, Cohort
from audit.registry import Registry

GENERATORS = Registry("generators.models", "MODEL")


@runtime_checkable
class VolumeGenerator(Protocol):
    """Learns from a cohort and samples cases."""

    def fit(self, cohort: Cohort, **options: Any) -> None:
        """Train on a cohort; repeating the call after a kill continues where it stopped."""
        ...

    def sample(self, n: int, *, seed: int, conditions: Cohort | None = None) -> Iterator[Case]:
        """Yield n cases.

        Case i depends on ``seed`` and i only: a longer run starts with the shorter one. With
        conditions, case i follows condition ``i % len(conditions)`` and names it in
        ``Case.condition``.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write all that ``load`` needs into a folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        ...
