"""Copy-detection encoder, trained here on the real training volumes by self-supervision.

Knows this anatomy and this intensity range; made to tell patients apart, not to judge realism.
With ``weights`` of this name it is read instead: our ``.safetensors``, a checkpoint (``.pth``) of
Dar et al. 2024, or any TorchScript network (``.pt``) that maps (b, c, z, y, x) to (b, d).
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.errors import BadInput, NotComputable
from audit.extractor import Autoencode, Encoder, Extractor, Workshop
from audit.preprocessing import Preprocessing
from audit.result import write_bytes

if TYPE_CHECKING:
    from audit.networks.ssl_training import Recipe

VERSION = 3
FEWEST_PATIENTS = 8


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:
    """Train on the cohort, or take the weights from the cache or the given file.

    The same for every generator, so that distances of two generators can be compared;
    ``ssl3d_autoencoded`` learns a generator's autoencoder as well.

    Raises:
        NotComputable: Fewer than 8 patients to learn from.
    """
    file = workshop.weights.get("ssl3d")
    if file is not None:
        return given(file, preprocessing, workshop)
    return trained(train, preprocessing, replace(workshop, autoencode=None))


def trained(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:
    """An encoder of this cohort; ``workshop.autoencode``, if any, is one of the disturbances.

    Raises:
        NotComputable: Fewer than 8 patients to learn from.
    """
    from audit.networks.ssl_training import Recipe

    patients = len(set(train.subjects))
    if patients < FEWEST_PATIENTS:
        raise NotComputable(
            f"{patients} training patients are too few to learn an encoder from",
            f"at least {FEWEST_PATIENTS}",
            "Give weights of an encoder that was trained elsewhere",
        )
    recipe = Recipe()
    weights = _train_once(train, preprocessing, workshop, recipe)
    return _ours(weights, preprocessing, workshop.device, recipe, {"seed": workshop.seed})


def _train_once(
    train: Cohort, preprocessing: Preprocessing, workshop: Workshop, recipe: "Recipe"
) -> bytes:
    """Weights as safetensors, from the cache where they were trained before."""
    from safetensors.torch import save

    from audit.networks.ssl_training import recipe_params, train_encoder

    key = key_of(
        encoder="ssl3d",
        version=VERSION,
        train=train.hash,
        preprocessing=preprocessing.as_params(),
        recipe=recipe_params(recipe),
        seed=workshop.seed,
        device=workshop.device,
        autoencoder=workshop.autoencoder_key if workshop.autoencode else "",
    )
    autoencode, file = workshop.autoencode, workshop.cache.path(key, ".safetensors")
    if file.is_file():
        return file.read_bytes()
    with workshop.ledger.phase("audit.train_encoder"):
        encoder = train_encoder(
            _volumes(train, preprocessing, recipe.side, None),
            train.subjects,
            extent_mm(preprocessing),
            recipe,
            seed=workshop.seed,
            device=workshop.device,
            checkpoint=workshop.cache.path(key, ".partial"),
            autoencoded=_volumes(train, preprocessing, recipe.side, autoencode)
            if autoencode
            else None,
        )
        workshop.ledger.work(steps=recipe.steps)
    weights = save({k: v.cpu().contiguous() for k, v in encoder.state_dict().items()})
    write_bytes(file, weights)
    return weights


def extent_mm(preprocessing: Preprocessing) -> tuple[float, float, float]:
    """Field of view (z, y, x) in mm."""
    z, y, x = (
        n * s for n, s in zip(preprocessing.shape[1:], preprocessing.spacing_mm, strict=True)
    )
    return z, y, x


def _volumes(
    cohort: Cohort, preprocessing: Preprocessing, side: int, autoencode: Autoencode | None
) -> npt.NDArray[np.floating[Any]]:
    """All volumes (n, c, t, z, y, x) at the encoder's resolution, in half precision.

    After the autoencoder where one is given.
    """
    import torch

    from audit.spatial import shrink

    rows = []
    for case in cohort:
        volume = preprocessing(case.image)
        volume = autoencode(volume[None])[0] if autoencode else volume
        frames = torch.from_numpy(volume).transpose(0, 1)
        rows.append(shrink(frames, side).transpose(0, 1).numpy().astype(np.float16))
    return np.stack(rows)


def _ours(
    weights: bytes,
    preprocessing: Preprocessing,
    device: str,
    recipe: "Recipe",
    params: dict[str, Any],
) -> Encoder:
    import hashlib

    from safetensors.torch import load

    from audit.networks.ssl_training import CopyEncoder, recipe_params
    from audit.networks.volume_encoder import volume_encoder

    network = CopyEncoder(preprocessing.channels, preprocessing.shape, recipe)
    try:
        network.load_state_dict(load(weights))
    except RuntimeError as error:
        raise BadInput(
            "the weights of ssl3d do not fit",
            f"an encoder of volumes {preprocessing.shape}",
            "Train it on this cohort",
        ) from error
    sha256 = hashlib.sha256(weights).hexdigest()
    params = {**params, "recipe": recipe_params(recipe)}
    return volume_encoder(network, f"ssl3d:{VERSION}", device, sha256, params)


def given(path: Path, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:
    """The encoder in a local file: ours, one of Dar et al., or TorchScript.

    Raises:
        BadInput: The file does not exist, or is no such network.
    """
    import hashlib

    import torch

    from audit.networks.ssl_training import Recipe
    from audit.networks.volume_encoder import Framewise, volume_encoder

    if not path.is_file():
        raise BadInput("the weights given for ssl3d do not exist", "a file", "Correct the path")
    params = {"given": path.name}
    if path.suffix == ".safetensors":
        return _ours(path.read_bytes(), preprocessing, workshop.device, Recipe(), params)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix == ".pth":
        from audit.networks.dar_encoder import read_dar_encoder

        network = Framewise(read_dar_encoder(path))
    else:
        network = Framewise(torch.jit.load(str(path), map_location=workshop.device))
    return volume_encoder(network, f"ssl3d:{VERSION}", workshop.device, sha256, params)


EXTRACTOR = Extractor(
    fit=fit,
    dim=128,
    source="NT-Xent (Chen et al. 2020, arXiv:2002.05709) as in Dar et al. 2024, arXiv:2402.01054",
    default=True,
    blind_to=("noise", "blur", "intensity_shift"),  # its views of a patient differ in just these
)
