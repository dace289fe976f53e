"""DINOv2 on three planes (2.5D), from a scripted or exported copy of the network.

The module maps (b, 3, 224, 224), normalized as ImageNet, to (b, d): export
``dinov2_vits14`` or a larger one once (``torch.export.save``) and name the file.
"""

from typing import TYPE_CHECKING

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks import (
    file_hash,
    imagenet_input,
    load_module,
    local_weights,
    planes_encoder,
    pooled,
)
from audit.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

SIDE = 224


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the module the user names."""
    path = local_weights(workshop, "dinov2", what="DINOv2 as TorchScript or exported program")
    module = load_module(path).to(workshop.device)

    def forward(slices: "torch.Tensor") -> "torch.Tensor":
        return pooled(module(imagenet_input(slices, side=SIDE)))

    return planes_encoder(
        forward,
        workshop,
        sha256=file_hash(path),
        settings={"normalization": "imagenet", "side": SIDE},
    )


EXTRACTOR = Extractor(fit=fit, dim=0, source="Oquab et al. 2023, arXiv:2304.07193")
