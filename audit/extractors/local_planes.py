"""Any 2D network of yours on three planes (2.5D): a module from (b, 3, 224, 224) to (b, d).

Slices are RGB copies, normalized as ImageNet networks expect, and averaged per volume.
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
    path = local_weights(workshop, "local_planes", what="a TorchScript or exported 2D module")
    module = load_module(path).to(workshop.device)

    def forward(slices: "torch.Tensor") -> "torch.Tensor":
        return pooled(module(imagenet_input(slices, side=SIDE)))

    return planes_encoder(
        forward,
        workshop,
        sha256=file_hash(path),
        settings={"normalization": "imagenet", "side": SIDE},
    )


EXTRACTOR = Extractor(fit=fit, dim=0, source="the user's module")
