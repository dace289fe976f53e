"""Reads models of Cardio-AI/voldit, cardiodit and medlord: their YAML and .pth files, unchanged.

Weights are read with ``weights_only=True``; EMA weights overlay the raw ones; missing, unexpected
and misshapen keys are errors that name them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from audit.errors import BadInput, did_you_mean
from generators.latent import LatentModel
from generators.models import cardiodit, medlord, voldit
from generators.official_files import (
    Weights,
    read_weights,
    read_yaml,
    refuse_unknown,
    some,
)
from generators.recipe import parse

FAMILIES = ("voldit", "cardiodit", "medlord")
CONFIGS: dict[str, Any] = {
    "voldit": voldit.VolDiTConfig,
    "cardiodit": cardiodit.CardioDiTConfig,
    "medlord": medlord.MedLoRDConfig,
}
BUILDERS: dict[str, Any] = {
    "voldit": voldit.build,
    "cardiodit": cardiodit.build,
    "medlord": medlord.build,
}

SECTION_KEYS = {
    "params", "scheduler", "scale_factor", "condition_keys", "base_lr", "disc_lr", "lr",
    "lr_gamma", "perceptual_weight", "adv_weight", "adv_warmup", "jukebox_weight", "n_epochs",
    "batch_size", "weight_decay", "use_ema", "ema_decay",
}  # fmt: skip

# (pattern in the official key, what it is here); applied in order, and backwards for export.
UNET_NAMES = (
    (r"^out\.1\.conv\.", "out.2.conv."),
    (r"(attentions\.\d+|middle_block\.attention)\.(to_[qkv])\.", r"\1.attn.\2."),
    (r"upsampler\.conv\.", "upsampler.postconv."),
    (r"\.to_out\.0\.", ".out_proj."),
)
UNET_NAMES_BACK = (
    (r"^out\.2\.conv\.", "out.1.conv."),
    (r"\.attn\.(to_[qkv])\.", r".\1."),
    (r"upsampler\.postconv\.", "upsampler.conv."),
    (r"\.out_proj\.", ".to_out.0."),
)


def load_official(
    family: str,
    *,
    stage1_config: str | Path,
    stage1_checkpoint: str | Path,
    denoiser_config: str | Path,
    denoiser_checkpoint: str | Path,
    adapter_config: str | Path | None = None,
    adapter_checkpoint: str | Path | None = None,
    scale_factor: float | None = None,
) -> LatentModel:
    """A published model, in eval mode.

    Args:
        family: ``voldit``, ``cardiodit`` or ``medlord``.
        stage1_config: YAML of the first stage.
        stage1_checkpoint: Its .pth.
        denoiser_config: YAML of DiT or U-Net; holds the noise schedule.
        denoiser_checkpoint: Its .pth.
        adapter_config: YAML of TGCA or ControlNet.
        adapter_checkpoint: Its .pth.
        scale_factor: Latent scale; else the one in the denoiser's or adapter's YAML, else 1.

    Raises:
        BadInput: Unknown keys in a YAML, keys or shapes that do not match, another family's file.
        UnusableFile: A file that is absent, truncated, or would execute code.
    """
    if family not in FAMILIES:
        raise BadInput(f"no official family '{family}'", did_you_mean(family, FAMILIES))
    if (adapter_config is None) != (adapter_checkpoint is None):
        raise BadInput("only one of adapter_config and adapter_checkpoint", "both or neither")
    config = read_config(family, stage1_config, denoiser_config, adapter_config, scale_factor)
    model = BUILDERS[family](config)
    load_part(model, family, "stage1", read_weights(stage1_checkpoint))
    load_part(model, family, "denoiser", read_weights(denoiser_checkpoint))
    if adapter_checkpoint is not None:
        load_part(model, family, "adapter", read_weights(adapter_checkpoint))
    return model.eval().requires_grad_(requires_grad=False)


def read_config(
    family: str,
    stage1: str | Path,
    denoiser: str | Path,
    adapter: str | Path | None = None,
    scale_factor: float | None = None,
) -> Any:
    """The family's configuration from official YAML files.

    Raises:
        BadInput: Unknown or contradicting keys, named, with what may have been meant.
    """
    first, second = read_yaml(stage1), read_yaml(denoiser)
    third = read_yaml(adapter) if adapter is not None else {}
    section = _section(second, ("ldm", "model") if family == "medlord" else ("dit", "model"))
    scheduler = section.get("scheduler", second.get("scheduler"))
    if scheduler is None:
        raise BadInput("the denoiser's YAML has no scheduler", "its noise schedule")
    parts: dict[str, Any] = {
        "stage1": _section(first, ("stage1", "model"))["params"],
        "denoiser": _without_later_keys(section["params"], second),
        "scheduler": scheduler,
        "scale_factor": _scale_factor(scale_factor, section, second, third),
    }
    if third:
        if family == "cardiodit":
            raise BadInput("an adapter for cardiodit", "none: it has no adapter")
        name = "tgca" if family == "voldit" else "controlnet"
        parts["adapter"] = _section(third, (name,))["params"]
    return parse(CONFIGS[family], parts, "official YAML")


def load_part(model: LatentModel, family: str, part: str, official: Weights) -> None:
    """Put official weights into ``stage1``, ``denoiser`` or ``adapter``.

    An adapter of VolDiT brings its base with it, which replaces the denoiser (some of its blocks
    may have been trained along).

    Raises:
        BadInput: Missing, unexpected or misshapen keys.
    """
    module: torch.nn.Module = getattr(model, part)
    if part == "adapter" and family == "voldit":
        prefix = "base_model."
        base = {k.removeprefix(prefix): v for k, v in official.items() if k.startswith(prefix)}
        official = {k: v for k, v in official.items() if not k.startswith(prefix)}
        if base:
            load_part(model, family, "denoiser", base)
    renamed = {from_official(family, part, key): value for key, value in official.items()}
    renamed.pop("", None)
    own = module.state_dict()
    missing, unexpected = sorted(own.keys() - renamed.keys()), sorted(renamed.keys() - own.keys())
    if missing or unexpected:
        told = f"missing {some(missing)}; " if missing else ""
        told += f"unexpected {some(unexpected)}" if unexpected else ""
        raise BadInput(
            f"{part} checkpoint does not fit {family}: {told.rstrip('; ')}",
            "exactly the keys of the configured network",
            _looks_like(official, family, part),
        )
    shapes = [k for k in own if own[k].shape != renamed[k].shape]
    if shapes:
        key = shapes[0]
        raise BadInput(
            f"{part} checkpoint has {key} of shape {tuple(renamed[key].shape)}",
            f"{tuple(own[key].shape)} from its YAML",
            f"{len(shapes)} tensors differ; use the YAML that the checkpoint was trained with",
        )
    module.load_state_dict(renamed)


def from_official(family: str, part: str, key: str) -> str:
    """Our name of an official key; empty for what is stored there but never used."""
    if part == "stage1":
        return f"vqgan.{key}" if family == "cardiodit" else key
    if family != "medlord":
        return key
    if ".proj_attn." in key:
        return ""
    return ("net." if part == "denoiser" else "") + _rename(key, UNET_NAMES)


def to_official(family: str, part: str, key: str) -> str:
    """The official name of one of our keys."""
    if part == "stage1":
        return key.removeprefix("vqgan.")
    return key if family != "medlord" else _rename(key.removeprefix("net."), UNET_NAMES_BACK)


def _rename(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _section(content: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names:
        found = content.get(name)
        if isinstance(found, dict) and isinstance(found.get("params"), dict):
            refuse_unknown(found, SECTION_KEYS, name)
            return found
    raise BadInput(
        f"a YAML with {', '.join(map(str, content))}",
        f"a section {' or '.join(names)} with params",
        "Check that each file is given for its own part and family",
    )


def _without_later_keys(params: dict[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without those of later development versions that say "as published".

    ``voxel_spacing`` and ``spacing`` only shape the position encoding, which the checkpoint holds.

    Raises:
        BadInput: They say otherwise; such a network or latent is another one.
    """
    training = content.get("training") or {}
    for place, key, neutral in (
        (params, "self_conditioning", False),
        (params, "temporal_pe", "absolute"),
        (training, "normalize_latents", False),
        (content, "scheduler_type", "ddpm"),
    ):
        if place.get(key, neutral) != neutral:
            raise BadInput(
                f"'{key}: {place[key]}', an option of unpublished development versions",
                f"{neutral}, as in the published models",
            )
    later = {"self_conditioning", "temporal_pe", "voxel_spacing", "spacing"}
    return {key: value for key, value in params.items() if key not in later}


def _scale_factor(
    given: float | None,
    section: Mapping[str, Any],
    denoiser: Mapping[str, Any],
    adapter: Mapping[str, Any],
) -> float:
    places = [section, denoiser, denoiser.get("training"), adapter.get("training")]
    found = [p["scale_factor"] for p in places if isinstance(p, dict) and p.get("scale_factor")]
    return float(given if given is not None else (found or [1.0])[0])


def _looks_like(weights: Weights, family: str, part: str) -> str:
    found = what_is(weights)
    if found and found != f"{family} {part}":
        return f"The file looks like {found}"
    return "Use the YAML that the checkpoint was trained with"


def what_is(weights: Weights) -> str:
    """Which part of which family a state dict belongs to; empty where unknown."""
    if any(k.startswith("base_model.") or k == "time_gate.weight" for k in weights):
        return "voldit adapter"
    if any(k.startswith("controlnet_") for k in weights):
        return "medlord adapter"
    if "x_embedder.proj.weight" in weights:
        rank = weights["x_embedder.proj.weight"].ndim
        return "voldit denoiser" if rank == 5 else "cardiodit denoiser"
    if any(k.startswith("down_blocks.") for k in weights):
        return "medlord denoiser"
    if any(k.startswith("quantizer.") for k in weights):
        return "a VQ-GAN first stage"
    return ""
