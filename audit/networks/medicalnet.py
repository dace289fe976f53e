"""MedicalNet's 3D ResNets as encoders."""

from typing import TYPE_CHECKING

from audit.errors import NotComputable
from audit.extractor import Encoder, Workshop
from audit.networks import file_hash, fill, frames_encoder, load_state, local_weights, pooled

if TYPE_CHECKING:
    import torch

BACKGROUND = -0.999


def medicalnet_encoder(
    workshop: Workshop, *, depth: int, name: str, z_score: bool = True
) -> Encoder:
    """An encoder from MedicalNet weights of one depth.

    Raises:
        NotComputable: No weights were given.
        BadInput: They are of another network.
    """
    from monai.networks.nets import resnet10, resnet50

    if depth not in (10, 50):
        raise NotComputable(f"MedicalNet of depth {depth}", "10 or 50")
    path = local_weights(workshop, name, what=f"MedicalNet's resnet_{depth}_23dataset.pth")
    # Depths 10 and 50 use shortcut B without bias (MONAI: get_medicalnet_pretrained_resnet_args).
    network = (resnet10 if depth == 10 else resnet50)(
        spatial_dims=3,
        n_input_channels=1,
        feed_forward=False,
        shortcut_type="B",
        bias_downsample=False,
    )
    fill(network, load_state(path), name=f"MedicalNet ResNet-{depth}", ignored=("conv_seg", "fc"))
    network.to(workshop.device)

    def forward(frames: "torch.Tensor") -> "torch.Tensor":
        return pooled(network(_z_scored(frames) if z_score else frames))

    return frames_encoder(
        forward,
        workshop,
        sha256=file_hash(path),
        settings={
            "network": f"MedicalNet ResNet-{depth}",
            "normalization": "z-score over foreground" if z_score else "[-1, 1], no z-score",
        },
    )


def _z_scored(frames: "torch.Tensor") -> "torch.Tensor":
    """Each frame by mean and standard deviation of its foreground; background to 0."""
    import torch

    flat = frames.flatten(1)
    inside = flat > BACKGROUND
    count = inside.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (flat * inside).sum(dim=1, keepdim=True) / count
    variance = ((flat - mean) ** 2 * inside).sum(dim=1, keepdim=True) / count
    scaled = (flat - mean) / variance.sqrt().clamp(min=1e-6)
    return torch.where(inside, scaled, torch.zeros_like(scaled)).reshape(frames.shape)
