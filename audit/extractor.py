"""Extractor: the declaration that a feature network's file ends with.

One file under ``audit/extractors/``: ``fit(train, preprocessing, workshop) -> Encoder`` and
``EXTRACTOR = Extractor(...)``. A network without training ignores ``train``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.cache import Cache, key_of
from audit.cohort import Cohort
from audit.preprocessing import Preprocessing
from audit.progress import track
from audit.registry import Registry

if TYPE_CHECKING:
    from audit.ledger import Ledger

EXTRACTORS = Registry("audit.extractors", "EXTRACTOR")


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What training and inference inside an audit may use.

    Attributes:
        cache: Where weights and features are kept.
        seed: Seed of everything random.
        device: ``cpu`` or ``cuda``.
        ledger: Where time and energy are booked.
        weights: Local files given by the user, by extractor name.
        autoencode: The generator's own decode(encode(...)) of volumes (b, c, t, z, y, x), where it
            is known: copies come through it, so the copy encoder and its null should too.
        autoencoder_key: Hash of the weights behind ``autoencode``.
    """

    cache: Cache
    seed: int
    device: str
    ledger: "Ledger"
    weights: dict[str, Path] = field(default_factory=dict)
    autoencode: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]] | None = None
    autoencoder_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A feature network ready to use.

    Attributes:
        embed: Maps a batch (b, c, t, z, y, x) float32 in [-1, 1] to features (b, d).
        key: Hash of weights and settings; part of every cache key.
        params: What the result must say of it: weights' SHA-256, training settings, ...
        batch_size: Volumes per call.
    """

    embed: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
    key: str
    params: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 8


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A declaration of one feature network.

    Attributes:
        fit: Builds or trains the encoder. Raises NotComputable where it cannot be had, with the
            package or file that is missing.
        dim: Feature dimension, 0 where it depends on the input.
        source: Paper or package.
        default: Whether an audit uses it unless asked otherwise.
    """

    fit: Callable[[Cohort, Preprocessing, Workshop], Encoder]
    dim: int
    source: str
    default: bool = False


def embed_cohort(
    cohort: Cohort, encoder: Encoder, preprocessing: Preprocessing, cache: Cache
) -> npt.NDArray[np.float32]:
    """Features (n, d) of a cohort: batched, read from disk as needed, cached per volume content."""
    keys = [
        key_of(voxels=h, preprocessing=preprocessing.as_params(), encoder=encoder.key)
        for h in cohort.case_hashes
    ]
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for i, key in enumerate(keys):
        if cache.path(key).is_file():
            rows[i] = cache.arrays(key, dict)["features"]
    todo = [i for i in range(len(cohort)) if i not in rows or rows[i].ndim != 1]
    batches = [todo[k : k + encoder.batch_size] for k in range(0, len(todo), encoder.batch_size)]
    for batch in track(batches, f"features of {cohort.role}"):
        volumes = np.stack([preprocessing(cohort[i].image) for i in batch])
        for i, row in zip(batch, encoder.embed(volumes), strict=True):
            features = np.asarray(row, dtype=np.float32)
            rows[i] = cache.arrays(keys[i], lambda features=features: {"features": features})[  # type: ignore[misc]
                "features"
            ]
    return np.stack([rows[i] for i in range(len(cohort))])
