"""Which training volumes each suspected copy is laid over: the nearest by two views of it.

The encoder ranks sources of moved, noised and remapped copies first; a copy of the middle of a
volume, stretched to its size, it ranks first among training volumes that were stretched likewise.
"""

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.comparison import Comparison
from audit.copies.duplicates import patients_of
from audit.copies.search import extractor_of, matched_features
from audit.neighbors import pearson_rows, top_k

FloatArray = npt.NDArray[np.floating]
NEAREST = 2
ZOOM = 1.25  # 10 % cut off on each side


def candidates(comparison: Comparison, embedded: FloatArray) -> npt.NDArray[np.int64]:
    """Training rows (n, 3) for embeddings (n, d): the two nearest, and the nearest stretched one.

    Where the two nearest are of one patient (duplicates count as one), the third is of another:
    the gap is measured to it. With fewer than three training volumes some are named twice.
    """
    train, patients = matched_features(comparison).train, patients_of(comparison)
    queries, n = pearson_rows(embedded), len(train)
    _, near = top_k(queries, pearson_rows(train), min(NEAREST, n))
    wide = min(NEAREST + int(np.bincount(patients).max()), n)
    _, zoomed = top_k(queries, pearson_rows(_stretched(comparison)), wide)
    taken = (zoomed[:, :, None] == near[:, None, :]).any(axis=2)
    first, second = patients[near[:, 0]], patients[near[:, -1]]
    alike = (first == second)[:, None] & (patients[zoomed] == first[:, None])
    fresh = ~(taken | alike)
    first = zoomed[np.arange(len(zoomed)), fresh.argmax(axis=1)]
    return np.concatenate([near, first[:, None]], axis=1).astype(np.int64)


def _stretched(comparison: Comparison) -> FloatArray:
    """Embeddings (n, d) of training volumes without their margin; kept in the cache."""
    encoder = comparison.encoder(extractor_of(comparison))

    def make() -> dict[str, FloatArray]:
        step, n = encoder.batch_size, len(comparison.train)
        parts = [
            encoder.embed(_zoom(comparison, range(i, min(i + step, n)))) for i in range(0, n, step)
        ]
        return {"rows": np.concatenate(parts)}

    key = key_of(
        stretched=ZOOM,
        train=comparison.train.hash,
        preprocessing=comparison.preprocessing.as_params(),
        encoder=encoder.key,
        autoencoder=comparison.workshop.autoencoder_key,
    )
    rows: FloatArray = comparison.once(
        f"memorization:stretched:{encoder.key}",
        lambda: comparison.workshop.cache.arrays(key, make)["rows"],
    )
    return rows


def _zoom(comparison: Comparison, rows: range) -> npt.NDArray[np.float32]:
    import torch

    from audit.extractors.ssl3d import extent_mm
    from audit.spatial import rigid_theta, warp

    volumes = np.stack([comparison.preprocessing(comparison.train[i].image) for i in rows])
    autoencode = comparison.workshop.autoencode
    volumes = volumes if autoencode is None else autoencode(volumes)
    b, c, t, z, y, x = volumes.shape
    still = torch.zeros(b, 3)
    theta = rigid_theta(
        still,
        still,
        extent_mm=extent_mm(comparison.preprocessing),
        scale=torch.full((b,), ZOOM),
    )
    flat = torch.from_numpy(volumes).reshape(b, c * t, z, y, x)
    return np.asarray(warp(flat, theta).reshape(volumes.shape).numpy())
