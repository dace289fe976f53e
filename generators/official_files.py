"""Reads the files of others: YAML with strict keys, checkpoints without executing anything."""

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from audit.errors import BadInput, UnusableFile, did_you_mean

Weights = dict[str, torch.Tensor]

TOP_KEYS = {
    "stage1", "model", "dit", "ldm", "tgca", "controlnet", "pretrained_model", "scheduler",
    "scheduler_type", "scale_factor", "training", "optim", "losses", "discriminator",
    "perceptual_network", "wandb", "data", "experiment", "sampling",
}  # fmt: skip


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file as a mapping.

    Raises:
        UnusableFile: It is absent, no YAML, or no mapping.
        BadInput: Unknown top-level keys.
    """
    import yaml

    file = Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError:
        raise UnusableFile(f"'{file.name}' cannot be read", "a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UnusableFile(f"'{file.name}' is not YAML", "an official configuration") from None
    if not isinstance(content, dict):
        raise UnusableFile(f"'{file.name}' holds no mapping", "an official configuration")
    refuse_unknown(content, TOP_KEYS, file.name)
    return content


def read_weights(path: str | Path) -> Weights:
    """The state dict of a .pth file with its EMA weights laid over, tensors only.

    The file may be the training scripts' dict (``model``, ``ema``, ...), one with ``state_dict``,
    or a plain state dict.

    Raises:
        UnusableFile: Absent, truncated, no checkpoint, or code inside.
        BadInput: An EMA entry that the model does not have.
    """
    file = Path(path)
    content = _load_tensors(file)
    wrapped = content.get("model", content.get("state_dict", content))
    if not isinstance(wrapped, dict) or not all(torch.is_tensor(v) for v in wrapped.values()):
        raise UnusableFile(
            f"'{file.name}' holds no state dict",
            "tensors under 'model', 'state_dict' or at the top",
        )
    weights: Weights = {str(k).removeprefix("module."): v for k, v in wrapped.items()}
    ema = content.get("ema")
    if isinstance(ema, dict):
        shadow = {str(k).removeprefix("module."): v for k, v in ema.get("shadow", {}).items()}
        unknown = sorted(set(shadow) - set(weights))
        if unknown:
            raise BadInput(f"'{file.name}': EMA has {some(unknown)}", "keys of the model")
        weights.update(shadow)
    return weights


def refuse_unknown(content: Mapping[str, Any], known: Iterable[str], source: str) -> None:
    """Stop at the first key that is not known.

    Raises:
        BadInput: There is one.
    """
    for key in content:
        if key not in known:
            raise BadInput(f"{source}: unknown key '{key}'", did_you_mean(str(key), known))


def some(keys: list[str]) -> str:
    """The first few keys and how many more."""
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"


def _load_tensors(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UnusableFile(f"'{file.name}' does not exist", "a .pth checkpoint")
    try:
        with warnings.catch_warnings():  # of another pickle protocol, which is refused below
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "GLOBAL" in str(error) or "Unsupported" in str(error):
            raise UnusableFile(
                f"'{file.name}' holds objects other than tensors, which could execute code",
                "tensors and plain values only",
                "Ask its authors for a state dict; it was not loaded",
            ) from None
        raise _truncated(file) from None
    except (RuntimeError, EOFError, ValueError, OSError, KeyError):
        raise _truncated(file) from None
    if not isinstance(content, dict):
        raise UnusableFile(f"'{file.name}' holds a {type(content).__name__}", "a dict of tensors")
    return content


def _truncated(file: Path) -> UnusableFile:
    return UnusableFile(
        f"'{file.name}' is truncated or no checkpoint ({file.stat().st_size} bytes)",
        "a .pth file as torch.save writes it",
        "Fetch it again",
    )
