"""The copy encoder of Dar et al. 2024, trained here on the training volumes as they trained it.

For figures that can be laid beside theirs: ask for it by name and memorization uses it in place of
``ssl3d``. 200 passes over the cohort: about 15 minutes on a CPU core for 24 volumes of 32 voxels
a side. With ``weights`` of this name a checkpoint of theirs is read instead.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from audit.cache import key_of
from audit.cohort import Cohort
from audit.errors import NotComputable
from audit.extractor import Encoder, Extractor, Workshop
from audit.preprocessing import Preprocessing
from audit.result import write_bytes

if TYPE_CHECKING:
    from audit.networks.dar_training import Published

VERSION = 1


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:
    """Train on the cohort, or take the weights from the cache or the given file.

    Raises:
        NotComputable: More than one channel, or an axis of fewer than 4 voxels.
        BadInput: Weights that do not fit.
    """
    from audit.networks.dar_training import grid_of
    from audit.networks.volume_encoder import Framewise, volume_encoder

    grid = grid_of(preprocessing.shape)
    if preprocessing.channels != 1 or not all(grid):
        raise NotComputable(
            f"{preprocessing.channels} channels of {preprocessing.shape[1:]} voxels",
            "one channel and at least 4 voxels an axis, as in the published network",
            "Use ssl3d",
        )
    file = workshop.weights.get("dar2024") or _train_once(train, preprocessing, workshop)
    network = _read(file, grid)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    params = {"grid": list(grid), "seed": workshop.seed}
    key = f"dar2024:{VERSION}"
    return volume_encoder(Framewise(network), key, workshop.device, sha256, params)


def _train_once(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Path:
    """The file of the weights, from the cache where they were trained before."""
    import io

    import numpy as np
    import torch

    from audit.extractors.ssl3d import extent_mm
    from audit.networks.dar_training import EPOCHS, train_dar

    key = key_of(
        encoder="dar2024",
        version=VERSION,
        train=train.hash,
        preprocessing=preprocessing.as_params(),
        epochs=EPOCHS,
        seed=workshop.seed,
        device=workshop.device,
    )
    file = workshop.cache.path(key, ".pth")
    if file.is_file():
        return file
    with workshop.ledger.phase("audit.train_encoder"):
        volumes = np.stack([preprocessing(case.image).astype(np.float16) for case in train])
        network = train_dar(
            volumes,
            extent_mm(preprocessing),
            seed=workshop.seed,
            device=workshop.device,
            checkpoint=workshop.cache.path(key, ".partial"),
        )
        workshop.ledger.work(volumes=len(train) * EPOCHS)
    buffer = io.BytesIO()
    torch.save({k: v.cpu() for k, v in network.encoder.state_dict().items()}, buffer)
    write_bytes(file, buffer.getvalue())
    return file


def _read(file: Path, grid: tuple[int, int, int]) -> "Published":
    from audit.networks.dar_encoder import load_weights
    from audit.networks.dar_training import Published

    network = Published(grid)
    load_weights(network.encoder, file)
    return network.eval()


EXTRACTOR = Extractor(fit=fit, dim=32, source="Dar et al. 2024, arXiv:2402.01054, their settings")
