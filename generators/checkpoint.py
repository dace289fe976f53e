"""Checkpoints: written atomically, read without ever executing what is in them."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from audit.errors import BadInput
from audit.result import write_bytes


def write_checkpoint(file: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers and words; a kill leaves the previous file or the new one."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(file, buffer.getvalue())


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU.

    Raises:
        BadInput: Truncated, not a checkpoint, or one that holds code.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{file.name} holds more than tensors, numbers and words",
            "weights only; a file with code in it is never run",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{file.name} cannot be read as a checkpoint",
            "a complete file",
            "Delete it to start this stage again, or copy it again if it was cut off",
        ) from error
    if not isinstance(state, dict):
        raise BadInput(f"{file.name} holds a {type(state).__name__}", "a dictionary of weights")
    return state


def random_state() -> dict[str, Any]:
    """State of torch's global streams; layers such as dropout draw from them."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set the global streams back to what ``random_state`` saw."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
