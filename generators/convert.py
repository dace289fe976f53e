"""Between this suite's generator folders and the official repositories' YAML and .pth files."""

import io
from pathlib import Path
from typing import Any

import torch

from audit.errors import BadInput, did_you_mean
from audit.result import write_bytes, write_text
from audit.volume import Spacing
from generators.grid import Grid, Shape
from generators.latent import LatentModel
from generators.official import FAMILIES, load_official, read_config, to_official

EMA_DECAY = 0.9999
CT_WINDOW_HU = (-1000.0, 1000.0)
CINE_WINDOW = (-1.0, 1.0)
# What every version of the official schedulers takes; more is written only where it differs.
ALWAYS = {"schedule", "num_train_timesteps", "prediction_type"}
LATER_DIT_KEYS = {"attn_drop", "mlp_drop"}
FILES = {
    "voldit": {"denoiser": "dit", "adapter": "tgca"},
    "cardiodit": {"denoiser": "dit"},
    "medlord": {"denoiser": "ldm", "adapter": "controlnet"},
}


def export_official(folder: str | Path, out: str | Path) -> list[Path]:
    """Write a trained generator as official YAML and .pth files.

    Args:
        folder: What ``voxaudit train`` left.
        out: Where ``stage1.*`` and ``dit.*``, ``tgca.*``, ``ldm.*`` or ``controlnet.*`` go.

    Returns:
        The files written.

    Raises:
        BadInput: No generator, one without an official layout, or options that the official code
            cannot express.
    """
    from generators.library import load

    generator: Any = load(folder)
    family = getattr(getattr(generator, "family", None), "name", type(generator).__name__)
    if family not in FAMILIES:
        raise BadInput(f"{family} has no official layout", " or ".join(FAMILIES))
    return write_official(family, generator.model, generator.config, Path(out))


def write_official(family: str, model: LatentModel, config: Any, out: Path) -> list[Path]:
    """Write a model's parts; see ``export_official``."""
    import yaml

    trees = official_trees(family, config, model.scale_factor)
    written = []
    for name, tree in trees.items():
        part = {v: k for k, v in FILES[family].items()}.get(name, name)
        weights = official_weights(family, model, part)
        content: dict[str, Any] = {
            "epoch": 0, "best_loss": 0.0, "model": weights, "optimizer": {}, "lr_scheduler": None,
        }  # fmt: skip
        if part != "stage1":
            frozen = {"pos_embed", *(k for k in weights if k.startswith("base_model."))}
            shadow = {k: v for k, v in weights.items() if k not in frozen}
            content["ema"] = {"decay": EMA_DECAY, "shadow": shadow}
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(out / f"{name}.pth", buffer.getvalue())
        write_text(out / f"{name}.yaml", yaml.safe_dump(tree, sort_keys=False))
        written += [out / f"{name}.yaml", out / f"{name}.pth"]
    return written


def official_weights(family: str, model: LatentModel, part: str) -> dict[str, torch.Tensor]:
    """A part's state dict under the official keys."""
    state = getattr(model, part).state_dict()
    weights = {to_official(family, part, k): v.detach().cpu() for k, v in state.items()}
    if part == "adapter" and family == "voldit":
        base = official_weights(family, model, "denoiser")
        weights = {**{f"base_model.{k}": v for k, v in base.items()}, **weights}
    if family == "medlord" and part != "stage1":
        weights.update(_unused_projections(weights))
    return weights


def official_trees(family: str, config: Any, scale_factor: float) -> dict[str, dict[str, Any]]:
    """The YAML trees by file name.

    Raises:
        BadInput: An anisotropic patch in VolDiT, whose official code has one number.
    """
    dumped = config.model_dump(mode="json")
    scheduler = config.scheduler.model_dump(mode="json")
    scheduler = {
        key: value
        for key, value in scheduler.items()
        if key in ALWAYS or value != type(config.scheduler).model_fields[key].default
    }
    denoiser = dumped["denoiser"]
    if family != "medlord":
        denoiser = {k: v for k, v in denoiser.items() if k not in LATER_DIT_KEYS or v is not None}
    if family == "voldit":
        denoiser["patch_size"] = _one_patch(config.denoiser.patch)
    trees: dict[str, dict[str, Any]]
    if family == "medlord":
        trees = {
            "stage1": {"model": {"params": dumped["stage1"]}},
            "ldm": {
                "model": {"params": denoiser},
                "scheduler": scheduler,
                "training": {"scale_factor": scale_factor},
            },
        }
    else:
        trees = {
            "stage1": {"stage1": {"params": dumped["stage1"]}},
            "dit": {
                "dit": {
                    "params": denoiser, "scheduler": scheduler, "scale_factor": scale_factor
                },
            },
        }  # fmt: skip
    adapter = dumped.get("adapter")
    if adapter is not None:
        name = FILES[family]["adapter"]
        trees[name] = {
            name: {"params": adapter}, "training": {"scale_factor": scale_factor}
        }  # fmt: skip
        if family == "medlord":
            trees[name]["pretrained_model"] = {"params": denoiser}
            trees[name]["ldm"] = {"scheduler": scheduler}
    return trees


def import_official(
    family: str,
    files: dict[str, str | Path | None],
    out: str | Path,
    *,
    shape: Shape | None = None,
    spacing_mm: Spacing | None = None,
    frame_ms: float | None = None,
    structures: tuple[str, ...] = (),
    scale_factor: float | None = None,
) -> None:
    """Turn official files into a folder that ``voxaudit sample`` reads.

    Args:
        family: ``voldit``, ``cardiodit`` or ``medlord``.
        files: The files by the names that ``load_official`` gives them.
        out: Folder of the generator.
        shape: Grid (t, z, y, x); needed for medlord, else it follows from the YAML.
        spacing_mm: Voxel size (z, y, x); unknown where not given.
        frame_ms: Frame period of a cine.
        structures: Names of the adapter's mask channels, in order.
        scale_factor: As in ``load_official``.

    Raises:
        BadInput: Files that do not fit each other, or a missing shape or structures.
    """
    from generators.models import cardiodit, medlord, voldit
    from generators.recipe import Denoiser, Recipe, Stage1

    if family not in FAMILIES:
        raise BadInput(f"no official family '{family}'", did_you_mean(family, FAMILIES))
    model = load_official(family, scale_factor=scale_factor, **files)  # type: ignore[arg-type]
    config = read_config(
        family,
        str(files["stage1_config"]),
        str(files["denoiser_config"]),
        files.get("adapter_config"),
        model.scale_factor,
    )
    kind: Any = {"voldit": voldit, "cardiodit": cardiodit, "medlord": medlord}[family].MODEL
    generator = kind(Recipe(family=family, stage1=Stage1(), denoiser=Denoiser()))
    masks = 0 if model.adapter is None else model.adapter.embedder.inputs
    if len(structures) != masks:
        raise BadInput(
            f"{len(structures)} structures for an adapter of {masks} mask channels",
            f"{masks} names, in the order of condition_keys",
            "Give --structures",
        )
    generator.grid = _grid(
        shape or _shape(family, config), family, spacing_mm, frame_ms, structures
    )
    generator.config, generator.model = config, model
    # Known from the files: encoding an empty volume of full size to find out could take hours.
    generator._latent_shape = (config.denoiser.in_channels, *_latent(family, config, generator))
    generator.record = {"imported": {k: Path(v).name for k, v in files.items() if v}}
    generator.save(Path(out))


def _grid(
    shape: Shape,
    family: str,
    spacing_mm: Spacing | None,
    frame_ms: float | None,
    structures: tuple[str, ...],
) -> Grid:
    from audit.preprocessing import Preprocessing

    cine = family == "cardiodit"
    return Grid(
        preprocessing=Preprocessing(
            shape=shape,
            spacing_mm=spacing_mm or (1.0, 1.0, 1.0),
            window=CINE_WINDOW if cine else CT_WINDOW_HU,
            modality="mr" if cine else "ct",
        ),
        shape=shape,
        spacing_known=spacing_mm is not None,
        frame_ms=frame_ms,
        structures=structures,
    )


def _shape(family: str, config: Any) -> Shape:
    """Grid (t, z, y, x) that the DiT's input size stands for."""
    if family == "medlord":
        raise BadInput(
            "the grid of medlord's volumes, which its files do not state",
            "four sizes t,z,y,x such as 1,256,512,512",
            "Give --shape",
        )
    latent, factor = config.denoiser.latent, config.stage1.factor
    if family == "voldit":
        x, y, z = (n * f for n, f in zip(latent, factor, strict=True))
        return 1, z, y, x
    z, *rest = latent
    x, y, t = (n * f for n, f in zip(rest, factor, strict=True))
    return t, z, y, x


def _latent(family: str, config: Any, generator: Any) -> tuple[int, ...]:
    if family != "medlord":
        grid: tuple[int, ...] = config.denoiser.latent
        return grid
    sizes = generator.grid.shape[:0:-1]
    if any(
        n % m for n, m in zip(generator.grid.shape, generator.family.multiple(config), strict=True)
    ):
        raise BadInput(
            f"a grid of {generator.grid.shape}",
            f"multiples of {generator.family.multiple(config)}",
            "Change --shape",
        )
    return tuple(n // f for n, f in zip(sizes, config.stage1.factor, strict=True))


def _one_patch(patch: tuple[int, ...]) -> int:
    if len(set(patch)) > 1:
        raise BadInput(
            f"patch_size {list(patch)}", "one number for all axes, as the official VolDiT has"
        )
    return patch[0]


def _unused_projections(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The output projections that the official attention stores and never applies."""
    found = {}
    for key, value in weights.items():
        if key.endswith(".to_q.weight") and "transformer_blocks" not in key:
            stem = key.removesuffix("to_q.weight") + "proj_attn"
            found[f"{stem}.weight"] = torch.eye(len(value), dtype=value.dtype)
            found[f"{stem}.bias"] = torch.zeros(len(value), dtype=value.dtype)
    return found
