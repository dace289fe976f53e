"""Hand-made features as an encoder: z-scored by the training cohort, whose scale is the weights."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.extractor import Encoder, Workshop
from audit.preprocessing import Preprocessing
from audit.progress import track

FloatArray = npt.NDArray[np.float64]
LOOK_AT = 256


def standardized(
    features: Callable[[npt.NDArray[np.float32]], FloatArray],
    train: Cohort,
    preprocessing: Preprocessing,
    workshop: Workshop,
    *,
    key: str,
) -> Encoder:
    """An encoder from a function of one volume (c, t, z, y, x).

    Mean and standard deviation come from at most 256 training volumes and are cached. A number
    that does not vary in training is only centered: where a synthetic volume has it vary, the
    distance says so in that number's own unit.

    Args:
        features: Maps one volume in [-1, 1] to (d,).
        train: Training cohort.
        preprocessing: Brings its volumes to one grid.
        workshop: Cache.
        key: Hash of the definition of ``features``.
    """
    picks = np.unique(np.linspace(0, len(train) - 1, min(LOOK_AT, len(train))).astype(int))
    seen = sorted(train.case_hashes[i] for i in picks)
    scale_key = key_of(definition=key, train=seen, preprocessing=preprocessing.as_params())

    def measure_scale() -> dict[str, npt.NDArray[np.float64]]:
        rows = np.stack(
            [features(preprocessing(train[int(i)].image)) for i in track(picks, "feature scale")]
        )
        rows = rows[np.lexsort(rows.T)]  # the order of the files must not reach the last bit
        return {"mean": rows.mean(axis=0), "sd": rows.std(axis=0, ddof=min(1, len(rows) - 1))}

    scale = workshop.cache.arrays(scale_key, measure_scale)
    mean, sd = scale["mean"], scale["sd"]
    divisor = np.where(sd > 1e-6 * np.maximum(1.0, np.abs(mean)), sd, 1.0)

    def embed(volumes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        rows = np.stack([features(volume) for volume in volumes])
        # Linear near 0, logarithmic far out: one wild number must not drown the others.
        return (2 * np.arcsinh((rows - mean) / divisor / 2)).astype(np.float32)

    return Encoder(
        embed=embed,
        key=scale_key,
        params={
            "dim": len(mean),
            "scale": "z-scored by the training cohort, 2 asinh(z / 2)",
            "weights": "none",
        },
        batch_size=1,
    )
