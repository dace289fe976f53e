"""How pretrained networks become encoders: local weights by hash, planes, frames, devices.

Nothing is ever downloaded: a network comes from a package that carries its weights or from a file
the user names (``weights: {medicalnet_resnet50: path}``), whose SHA-256 goes into the result and
into every cache key.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.errors import BadInput, NotComputable
from audit.extractor import Encoder, Workshop

if TYPE_CHECKING:
    import torch

Images = npt.NDArray[np.float32]
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SLICES_PER_PLANE = 16
PREFIXES = ("module.", "state_dict.", "model.", "_orig_mod.", "backbone.", "net.")


def local_weights(workshop: Workshop, extractor: str, *, what: str) -> Path:
    """The file the user gave for an extractor.

    Args:
        workshop: Knows the files by extractor name.
        extractor: Name of the extractor.
        what: Which weights are meant, for the sentence.

    Raises:
        NotComputable: None was given, or it is not there.
    """
    path = workshop.weights.get(extractor)
    if path is None or not Path(path).is_file():
        raise NotComputable(
            f"no weights for '{extractor}'" if path is None else f"'{extractor}' names no file",
            what,
            f"Give a local file as `weights: {{{extractor}: PATH}}`; nothing is downloaded",
        )
    return Path(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_state(path: Path) -> dict[str, "torch.Tensor"]:
    """Tensors of a checkpoint by name, without unpickling code, wrappers' prefixes removed.

    Raises:
        BadInput: The file is no checkpoint, or holds more than tensors.
    """
    import pickle

    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(str(path))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, OSError, EOFError, KeyError) as error:
        raise BadInput(
            f"{path.name} is no checkpoint of tensors ({str(error).splitlines()[0][:80]})",
            "a .pt, .pth or .safetensors file of tensors alone",
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    for prefix in PREFIXES:
        if tensors and all(k.startswith(prefix) for k in tensors):
            tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def fill(
    network: "torch.nn.Module",
    state: Mapping[str, "torch.Tensor"],
    *,
    name: str,
    ignored: tuple[str, ...] = (),
) -> "torch.nn.Module":
    """Load a state strictly, but for the named heads, and set evaluation mode.

    Raises:
        BadInput: Names or shapes do not fit.
    """
    kept = {k: v for k, v in state.items() if not k.startswith(ignored or ("\0",))}
    try:
        network.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        missing = " ".join(str(error).split())[:160]
        raise BadInput(
            f"the weights do not fit {name} ({missing})", f"a state of {name}"
        ) from error
    return network.eval().requires_grad_(requires_grad=False)


def load_module(path: Path) -> "torch.nn.Module":
    """A TorchScript (.pt, .ts) or exported (.pt2) module.

    Raises:
        BadInput: It is neither.
    """
    import torch

    try:
        if path.suffix == ".pt2":
            return torch.export.load(path).module()
        with warnings.catch_warnings():  # TorchScript is deprecated, but its files are everywhere
            warnings.simplefilter("ignore", FutureWarning)
            return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{path.name} is neither TorchScript nor an exported program",
            "torch.jit.save (.pt) or torch.export.save (.pt2)",
        ) from error


def frames_encoder(
    forward: Callable[["torch.Tensor"], "torch.Tensor"],
    workshop: Workshop,
    *,
    sha256: str,
    settings: Mapping[str, Any],
    batch_size: int = 2,
) -> Encoder:
    """An encoder from a 3D network; frames of a cine are averaged per volume.

    Args:
        forward: Maps (b, 1, z, y, x) in [-1, 1] on the workshop's device to (b, d).
        workshop: Device.
        sha256: Of the weights.
        settings: What else the features depend on.
        batch_size: Volumes a call.
    """

    def embed(volumes: Images) -> Images:
        import torch

        b, _, t = volumes.shape[:3]
        frames = torch.from_numpy(volumes.mean(axis=1)).reshape(b * t, 1, *volumes.shape[3:])
        with torch.inference_mode():
            rows = [forward(part.to(workshop.device)).float().cpu() for part in frames.split(2)]
        return torch.cat(rows).reshape(b, t, -1).mean(dim=1).numpy()

    return _encoder(embed, sha256, {"input": "3D, frames averaged", **settings}, batch_size)


def planes_encoder(
    forward: Callable[["torch.Tensor"], "torch.Tensor"],
    workshop: Workshop,
    *,
    sha256: str,
    settings: Mapping[str, Any],
    batch_size: int = 1,
) -> Encoder:
    """A 2.5D encoder: slices of the three planes apart, averaged per volume, planes side by side.

    Args:
        forward: Maps slices (b, 1, h, w) in [-1, 1] on the workshop's device to (b, d).
        workshop: Device.
        sha256: Of the weights.
        settings: What else the features depend on.
        batch_size: Volumes a call.
    """

    def embed(volumes: Images) -> Images:
        import torch

        rows = []
        with torch.inference_mode():
            for volume in volumes.mean(axis=1):
                planes = [
                    _mean_over_slices(forward, torch.from_numpy(volume), axis, workshop.device)
                    for axis in range(3)
                    if volume.shape[1 + axis] > 1 or axis == 0
                ]
                rows.append(torch.cat(planes))
        return torch.stack(rows).numpy()

    about = {"input": f"2.5D, {SLICES_PER_PLANE} slices a plane, averaged per volume", **settings}
    return _encoder(embed, sha256, about, batch_size)


def _mean_over_slices(
    forward: Callable[["torch.Tensor"], "torch.Tensor"],
    volume: "torch.Tensor",
    axis: int,
    device: str,
) -> "torch.Tensor":
    """Mean features of evenly spread inner slices across one axis of (t, z, y, x)."""
    import torch

    count = volume.shape[1 + axis]
    edges = np.linspace(0, count, min(count, SLICES_PER_PLANE) + 1)
    places = torch.from_numpy(((edges[:-1] + edges[1:]) / 2).astype(np.int64))
    slices = volume.index_select(1 + axis, places).movedim(1 + axis, 1).flatten(0, 1)[:, None]
    parts = [forward(part.to(device)).float().cpu() for part in slices.split(16)]
    return torch.cat(parts).mean(dim=0)


def imagenet_input(slices: "torch.Tensor", *, side: int) -> "torch.Tensor":
    """Gray slices in [-1, 1] as RGB of one side length, normalized as ImageNet networks expect."""
    import torch

    scaled = torch.nn.functional.interpolate(
        (slices + 1) / 2, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    mean, sd = (torch.tensor(v, device=slices.device)[:, None, None] for v in _IMAGENET)
    return (scaled.expand(-1, 3, -1, -1) - mean) / sd


def pooled(features: "torch.Tensor") -> "torch.Tensor":
    """Average whatever spatial axes remain: (b, d, ...) to (b, d)."""
    return features.flatten(2).mean(dim=2) if features.ndim > 2 else features


def _encoder(
    embed: Callable[[Images], Images], sha256: str, settings: Mapping[str, Any], batch_size: int
) -> Encoder:
    return Encoder(
        embed=embed,
        key=key_of(weights=sha256, **settings),
        params={"weights_sha256": sha256, **settings},
        batch_size=batch_size,
    )


_IMAGENET = (IMAGENET_MEAN, IMAGENET_SD)
