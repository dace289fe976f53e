"""Settings that hold one value a level."""

from collections.abc import Sequence
from typing import Any


def refuse_other_levels(config: Any, names: Sequence[str]) -> None:
    """Stop where a tuple is not as long as ``num_channels``.

    Args:
        config: A network's configuration.
        names: Its settings that may be tuples.

    Raises:
        ValueError: One has another length.
    """
    levels = len(config.num_channels)
    for name in names:
        value = getattr(config, name)
        if isinstance(value, tuple) and len(value) != levels:
            raise ValueError(
                f"{name} has {len(value)} levels; expected {levels}, as many as num_channels"
            )
