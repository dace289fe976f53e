"""Any 4D network of yours (CineMA and its like): a module from (b, 1, t, z, y, x) to (b, d).

The module sees the whole cine in [-1, 1] over the audit's window; put any other normalization or
order of axes into it (``torch.jit.save`` or ``torch.export.save``).
"""

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks import file_hash, load_module, local_weights, pooled
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the module the user names."""
    path = local_weights(workshop, "local_cines", what="a TorchScript or exported 4D module")
    module, sha256 = load_module(path).to(workshop.device), file_hash(path)

    def embed(volumes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            cines = torch.from_numpy(volumes.mean(axis=1, keepdims=True)).to(workshop.device)
            return pooled(module(cines)).float().cpu().numpy()

    return Encoder(
        embed=embed,
        key=key_of(weights=sha256, input="whole cine"),
        params={"weights_sha256": sha256, "input": "whole cine", "normalization": "[-1, 1]"},
        batch_size=1,
    )


EXTRACTOR = Extractor(fit=fit, dim=0, source="the user's module")
