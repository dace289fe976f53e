"""Reads the layout of MONAI's brain LDM bundle: configs/inference.json and models/*.

Expressions in the bundle (strings that start with ``$``) are never evaluated: networks and
schedule are built from the literal numbers in ``autoencoder_def``, ``diffusion_def`` and
``scheduler``; weights are read with ``weights_only=True``.

Source: Pinaya et al. 2022 (arXiv:2209.07162); Project-MONAI/model-zoo,
brain_image_synthesis_latent_diffusion_model.
"""

import json
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import AutoencoderKL, DiffusionModelUNet

from audit.errors import BadInput
from generators.checkpoint import read_checkpoint
from generators.latent import LatentModel
from generators.recipe import parse
from generators.schedules import ScheduleConfig, build_schedule
from generators.windows import kl_pass

AUTOENCODER_FILES = ("autoencoder.pt", "autoencoder.pth")
DIFFUSION_FILES = ("model.pt", "diffusion_model.pt", "diffusion_model.pth", "model.pth")
SCHEDULE_KEYS = ("beta_start", "beta_end", "num_train_timesteps", "schedule", "clip_sample",
                 "prediction_type")  # fmt: skip


class Autoencoder(torch.nn.Module):
    """AutoencoderKL as a first stage; ``encode`` gives the mean."""

    def __init__(self, network: AutoencoderKL) -> None:
        super().__init__()
        self.network = network

    def encode(self, image: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Image to latent; see ``generators.windows`` for what a limit means."""
        return kl_pass(self.network, image, memory_gb, encodes=True)

    def decode(self, latent: torch.Tensor, memory_gb: float | None = None) -> torch.Tensor:
        """Latent to image; see ``generators.windows`` for what a limit means."""
        return kl_pass(self.network, latent, memory_gb, encodes=False)


class CovariateUNet(torch.nn.Module):
    """U-Net that sees covariates as constant channels and, where it attends, as context."""

    def __init__(self, network: DiffusionModelUNet, *, attends: bool) -> None:
        super().__init__()
        self.net, self.attends = network, attends

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        labels: torch.Tensor | None = None,
        control: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict from a noisy latent; ``control`` is (B, covariates)."""
        if control is None:
            return self.net(noisy, timesteps, class_labels=labels)
        planes = control.reshape(*control.shape, *[1] * (noisy.ndim - 2))
        planes = planes.expand(*control.shape, *noisy.shape[2:]).to(noisy.dtype)
        context = control[:, None].to(noisy.dtype) if self.attends else None
        return self.net(torch.cat([noisy, planes], dim=1), timesteps, context=context)


class _Pass(torch.nn.Module):
    """Hands the covariates to the U-Net unchanged."""

    def forward(self, *inputs: Any) -> Any:
        return inputs[1]


class BundleModel(LatentModel):
    """The bundle's networks; ``condition`` is (B, covariates), such as gender, age, volumes."""

    def __init__(self, *, covariates: int, **parts: Any) -> None:
        super().__init__(**parts)
        self.covariates = covariates

    def embed_condition(self, condition: torch.Tensor, grid: tuple[int, ...]) -> torch.Tensor:  # noqa: ARG002
        """Check the number of covariates.

        Raises:
            BadInput: It is another.
        """
        if condition.ndim != 2 or condition.shape[1] != self.covariates:
            raise BadInput(
                f"covariates of shape {tuple(condition.shape)}", f"(samples, {self.covariates})"
            )
        return condition


def load_monai_bundle(folder: str | Path) -> BundleModel:
    """The model of a bundle folder, in eval mode.

    Raises:
        BadInput: Files are missing, damaged, hold code, or do not fit each other.
    """
    place = Path(folder)
    file = place / "configs" / "inference.json"
    if not file.is_file():
        raise BadInput("the bundle has no configs/inference.json", "MONAI's brain LDM layout")
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput("configs/inference.json is damaged", "JSON") from error
    autoencoder = AutoencoderKL(**_literals(tree, "autoencoder_def"))
    settings = _literals(tree, "diffusion_def")
    unet = DiffusionModelUNet(**settings)
    _fill(autoencoder, place / "models", AUTOENCODER_FILES)
    _fill(unet, place / "models", DIFFUSION_FILES)
    scheduler = {k: v for k, v in _literals(tree, "scheduler").items() if k in SCHEDULE_KEYS}
    model = BundleModel(
        covariates=settings["in_channels"] - settings["out_channels"],
        stage1=Autoencoder(autoencoder),
        denoiser=CovariateUNet(unet, attends=bool(settings.get("with_conditioning"))),
        adapter=_Pass(),
        schedule=build_schedule(parse(ScheduleConfig, scheduler, "the bundle's scheduler")),
    )
    return model.eval().requires_grad_(requires_grad=False)


def _literals(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """Plain values of a definition, with the names that MONAI uses today."""
    section = tree.get(name)
    if not isinstance(section, dict):
        raise BadInput(f"the bundle has no '{name}'", "a mapping")
    renamed = {"num_channels": "channels"}
    kept: dict[str, Any] = {}
    for key, value in section.items():
        if not key.startswith("_"):
            kept[renamed.get(key, str(key))] = value
    computed = [k for k, v in kept.items() if isinstance(v, str) and v.startswith(("$", "@"))]
    if computed:
        raise BadInput(
            f"'{computed[0]}' in {name} is an expression", "a literal", "Expressions are not run"
        )
    return kept


def _fill(network: Any, folder: Path, names: tuple[str, ...]) -> None:
    """Load weights in today's key layout or in that of MONAI generative."""
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise BadInput(f"the bundle has none of models/{', models/'.join(names)}", "its weights")
    state = read_checkpoint(file)
    try:
        if set(state) == set(network.state_dict()):
            network.load_state_dict(state)
        else:
            network.load_old_state_dict(state)
    except (RuntimeError, KeyError) as error:
        detail = " ".join(str(error).split())[:200]
        raise BadInput(f"{file.name} does not fit the bundle's networks: {detail}") from error
