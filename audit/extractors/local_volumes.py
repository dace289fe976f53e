"""Any 3D network of yours: TorchScript or an exported program from (b, 1, z, y, x) to (b, d).

Input is [-1, 1] over the audit's window; put any other normalization into the module. Frames of a
cine are averaged per volume.
"""

from typing import TYPE_CHECKING

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks import file_hash, frames_encoder, load_module, local_weights, pooled
from audit.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the module the user names."""
    path = local_weights(workshop, "local_volumes", what="a TorchScript or exported 3D module")
    module = load_module(path).to(workshop.device)

    def forward(frames: "torch.Tensor") -> "torch.Tensor":
        return pooled(module(frames))

    return frames_encoder(
        forward, workshop, sha256=file_hash(path), settings={"normalization": "[-1, 1]"}
    )


EXTRACTOR = Extractor(fit=fit, dim=0, source="the user's module")
