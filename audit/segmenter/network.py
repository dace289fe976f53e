"""A segmentation network from a local file, loaded without running any code of the file's own.

- **TorchScript** (``.ts``, ``.pt``) and **torch.export** (``.pt2``) files;
- a **MONAI bundle** folder: ``models/model.ts``, or ``models/model.pt`` with the ``network_def`` of
  its ``configs/inference.json`` where that is plain values on a class of ``monai.networks.nets``.

The classes and the grid come from a bundle's ``configs/metadata.json`` or from a JSON file beside
the network (``heart.ts`` → ``heart.json``)::

    {"labels": {"lv": 3, "myocardium": 2}, "spacing_mm": [8, 1.4, 1.4], "window": [-1000, 1000],
     "patch": [16, 128, 128]}

``labels`` are in the order of the network's classes 1, 2, ...; what is left out is taken from the
real cohort. The SHA-256 of the weights file is recorded in every result.
"""

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.cohort import Cohort
from audit.errors import BadInput, UnusableFile
from audit.extractor import Workshop
from audit.preprocessing import Preprocessing
from audit.segmenter.inference import Segmenter

if TYPE_CHECKING:
    import torch

KINDS = "a TorchScript (.ts, .pt), torch.export (.pt2) file or a MONAI bundle folder"


def load_network(
    path: Path, real: Cohort, preprocessing: Preprocessing, workshop: Workshop
) -> Segmenter:
    """Load a network and check it on a tiny input.

    Args:
        path: File or bundle folder.
        real: Labeled real cases, whose label names stand in where the network names none.
        preprocessing: Gives spacing, window and shape where the network names none.
        workshop: Gives the device.

    Raises:
        UnusableFile: It is not a network, or its classes do not fit the labels.
        BadInput: Nothing names its classes.
    """
    weights, about = _files(path)
    network = _load(path, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    described = _description(about)
    names = described.get("labels") or _names_of(real)
    z, y, x = (float(s) for s in described.get("spacing_mm", preprocessing.spacing_mm))
    window = described.get("window") or (
        preprocessing.window if preprocessing.modality == "ct" else None
    )
    patch = tuple(int(n) for n in described.get("patch", preprocessing.shape[1:]))
    temporal = _channels(network, patch, len(names) + 1, workshop.device) == 3
    return Segmenter(
        network=network,
        names=names,
        spacing_mm=(z, y, x),
        window=None if window is None else (float(window[0]), float(window[1])),
        patch=(patch[0], patch[1], patch[2]),
        temporal=temporal,
        device=workshop.device,
        key=hashlib.sha256(f"{digest}{names}{z, y, x}{window}{patch}".encode()).hexdigest(),
        params={
            "name": "local network",
            "weights_sha256": digest,
            "working_spacing_mm": [z, y, x],
            "patch": list(patch),
            "clean_up": "largest component per structure and frame, nodules excepted",
        },
    )


def _files(path: Path) -> tuple[Path, Path]:
    """The weights, and the JSON that describes them."""
    if not path.is_dir():
        return path, path.with_suffix(".json")
    for name in ("model.ts", "model.pt"):
        if (path / "models" / name).is_file():
            return path / "models" / name, path / "configs" / "metadata.json"
    raise UnusableFile("the bundle folder has no models/model.ts or models/model.pt", KINDS)


def _load(path: Path, weights: Path) -> "Callable[[torch.Tensor], torch.Tensor]":
    import torch

    try:
        if weights.suffix == ".pt2":
            return torch.export.load(str(weights)).module()
        if path.is_dir() and weights.suffix == ".pt":
            return _from_bundle(path, weights)
        with warnings.catch_warnings():
            # TorchScript is deprecated in favor of torch.export; the files exist all the same.
            warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
            return torch.jit.load(str(weights), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError, KeyError, AttributeError, EOFError) as error:
        raise UnusableFile(f"'{weights.name}' cannot be loaded as a network", KINDS) from error


def _from_bundle(path: Path, weights: Path) -> "torch.nn.Module":
    import monai.networks.nets as nets
    import torch

    config = path / "configs" / "inference.json"
    definition = json.loads(config.read_text(encoding="utf-8")).get("network_def", {})
    name = str(definition.get("_target_", "")).removeprefix("monai.networks.nets.")
    arguments = {k: v for k, v in definition.items() if not k.startswith("_")}
    # A "$..." string is Python that a bundle's own loader would run.
    if "$" in json.dumps(arguments) or "." in name or not hasattr(nets, name):
        raise UnusableFile(
            "the bundle's network_def is not a plain class of monai.networks.nets",
            "one with plain values",
            "Export the network as TorchScript: models/model.ts",
        )
    network: torch.nn.Module = getattr(nets, name)(**arguments)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def _description(about: Path) -> dict[str, Any]:
    if not about.is_file():
        return {}
    try:
        found = json.loads(about.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnusableFile(f"'{about.name}' is not JSON") from error
    if "network_data_format" not in found:
        return dict(found)
    outputs = found["network_data_format"].get("outputs", {}).get("pred", {})
    inputs = found["network_data_format"].get("inputs", {}).get("image", {})
    classes = sorted(outputs.get("channel_def", {}).items(), key=lambda item: int(item[0]))
    described: dict[str, Any] = {
        "labels": {str(n).lower(): int(i) for i, n in classes if int(i) > 0}
    }
    if all(isinstance(n, int) for n in inputs.get("spatial_shape", ["*"])):
        described["patch"] = inputs["spatial_shape"]
    return described


def _names_of(real: Cohort) -> dict[str, int]:
    for source in real.sources:
        if source.labeled:
            labels = source.read().labels
            if labels is not None and labels.names:
                return dict(sorted(labels.names.items(), key=lambda item: item[1]))
    raise BadInput(
        "nothing names the classes of the segmenter", "a JSON file beside it with 'labels'"
    )


def _channels(
    network: "Callable[[torch.Tensor], torch.Tensor]",
    patch: tuple[int, ...],
    classes: int,
    device: str,
) -> int:
    """Input channels that the network takes: 1, or 3 for a frame with its neighbors."""
    import torch

    if isinstance(network, torch.nn.Module):
        network.to(device)
    for channels in (1, 3):
        try:
            with torch.inference_mode():
                scores = network(torch.zeros(1, channels, *patch, device=device))
        except (RuntimeError, ValueError):
            continue
        if scores.shape[:2] != (1, classes) or scores.shape[2:] != patch:
            raise UnusableFile(
                f"the segmenter answers {tuple(scores.shape)} to {(1, channels, *patch)}",
                f"{classes} classes, background first, on the same grid",
                "Name its classes in the JSON file beside it",
            )
        return channels
    raise UnusableFile(f"the segmenter takes no input of 1 or 3 channels and {patch} voxels", KINDS)
