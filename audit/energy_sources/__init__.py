"""Where joules come from: one source a file.

A source is any object with ``read_j()``, which returns cumulative joules by component (``cpu``,
``gpu``, ``ram``; None where a component cannot be had), and ``methods``, which says how each was
obtained: ``counter``, ``power_sensor``, ``load_model``, ``constant`` or ``missing: <reason>``.
"""

from collections.abc import Mapping
from typing import Protocol

COMPONENTS = ("cpu", "gpu", "ram")


class EnergySource(Protocol):
    """What the ledger reads at every boundary of a phase and at every heartbeat."""

    @property
    def methods(self) -> Mapping[str, str]:
        """How each component is obtained."""
        ...

    def read_j(self) -> dict[str, float | None]:
        """Cumulative joules by component since the source was opened."""
        ...

    def close(self) -> None:
        """Release what the source holds."""
        ...
