"""Train and sample generators of 3D and 4D medical images."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generators.official import load_official as load_official

__all__ = ["load_official"]


def __getattr__(name: str) -> Any:
    """Import torch only when a model is asked for."""
    if name == "load_official":
        from generators.official import load_official

        return load_official
    raise AttributeError(f"module 'generators' has no attribute '{name}'")
