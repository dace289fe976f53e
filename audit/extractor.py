"""Extractor: the declaration that a feature network's file ends with.

One file under ``audit/extractors/``: ``fit(train, preprocessing, workshop) -> Encoder`` and
``EXTRACTOR = Extractor(...)``. A network without training ignores ``train``.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.cache import Cache, key_of
from audit.cohort import Cohort
from audit.errors import NotComputable
from audit.preprocessing import Preprocessing
from audit.progress import track
from audit.registry import Registry

if TYPE_CHECKING:
    from audit.ledger import Ledger

Autoencode = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
EXTRACTORS = Registry("audit.extractors", "EXTRACTOR")
PATIENCE_S = 300.0
POLL_S = 0.2


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
            is known: copies come through it, so the copy encoder learns it, and sources and null
            of the copy search pass through it.
        autoencoder_key: Hash of the weights behind ``autoencode``.
    """

    cache: Cache
    seed: int
    device: str
    ledger: "Ledger"
    weights: dict[str, Path] = field(default_factory=dict)
    autoencode: Autoencode | None = None
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
        blind_to: Planted failures that its features are made not to show; a metric that declares
            one promises it with other extractors only.
    """

    fit: Callable[[Cohort, Preprocessing, Workshop], Encoder]
    dim: int
    source: str
    default: bool = False
    blind_to: tuple[str, ...] = ()


def embed_cohort(
    cohort: Cohort, encoder: Encoder, preprocessing: Preprocessing, cache: Cache
) -> npt.NDArray[np.float32]:
    """Features (n, d) of a cohort, in its order.

    A volume is read, embedded and stored once per (voxels, preprocessing, weights): a second run,
    an equal volume and another process with the same cache compute nothing. At most one batch of
    volumes is in memory. Under ``torchrun`` each process embeds its share and finds the others' in
    the cache; what a process that died left undone is made by the rest.

    Raises:
        NotComputable: The features of a volume are not finite.
    """
    keys = [
        key_of(voxels=h, preprocessing=preprocessing.as_params(), encoder=encoder.key)
        for h in cohort.case_hashes
    ]
    rows = {key: row for key in dict.fromkeys(keys) if (row := _cached(cache, key)) is not None}
    todo = {key: i for i, key in reversed(list(enumerate(keys))) if key not in rows}
    mine = {key: i for key, i in todo.items() if _is_own_share(key)}
    rows |= _embed(cohort, mine, encoder, preprocessing, cache)
    others = [key for key in todo if key not in rows]
    rows |= _await(others, cache)
    left = {key: todo[key] for key in others if key not in rows}
    rows |= _embed(cohort, left, encoder, preprocessing, cache)
    return np.stack([rows[key] for key in keys])


def _embed(
    cohort: Cohort,
    places: Mapping[str, int],
    encoder: Encoder,
    preprocessing: Preprocessing,
    cache: Cache,
) -> dict[str, npt.NDArray[np.float32]]:
    """Embed and store the cases at these places, a batch at a time."""
    keys = sorted(places, key=lambda key: places[key])
    batches = [keys[k : k + encoder.batch_size] for k in range(0, len(keys), encoder.batch_size)]
    rows: dict[str, npt.NDArray[np.float32]] = {}
    unit = f", batches of {encoder.batch_size}" if encoder.batch_size > 1 else ""
    for batch in track(batches, f"features of {cohort.role}{unit}"):
        volumes = np.stack([preprocessing(cohort[places[key]].image) for key in batch])
        features = np.asarray(encoder.embed(volumes), dtype=np.float32)
        for key, row in zip(batch, features, strict=True):
            if not np.isfinite(row).all():
                raise NotComputable(
                    f"a {cohort.role} volume whose features are not finite",
                    "finite features",
                    "Look for NaN or infinite voxels: `voxaudit data check`",
                )
            cache.write(key, {"features": row})
            rows[key] = row
    return rows


def _cached(cache: Cache, key: str) -> npt.NDArray[np.float32] | None:
    stored = cache.read(key)
    return stored["features"] if stored and "features" in stored else None


def _is_own_share(key: str) -> bool:
    """Whether this process embeds a volume: its key decides, so all processes agree."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return int(key[:12], 16) % world == int(os.environ.get("RANK", "0"))


def _await(keys: Sequence[str], cache: Cache) -> dict[str, npt.NDArray[np.float32]]:
    """What other processes store, until all is there or nothing new has come for a while."""
    rows: dict[str, npt.NDArray[np.float32]] = {}
    last = time.monotonic()
    while len(rows) < len(keys) and time.monotonic() - last < PATIENCE_S:
        for key in keys:
            if key not in rows and (row := _cached(cache, key)) is not None:
                rows[key] = row
                last = time.monotonic()
        if len(rows) < len(keys):
            time.sleep(POLL_S)
    return rows
