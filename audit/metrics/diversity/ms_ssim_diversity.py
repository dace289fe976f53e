"""How much more alike synthetic volumes are to one another than held-out real ones (MS-SSIM).

Mean MS-SSIM over pairs of synthetic volumes less the same over real pairs: 0 where both are as
varied, positive where the generator repeats itself, up to 1. Negative is no merit: noise is unlike
everything. At most 16 volumes a side enter, frames averaged, axes longer than 64 area-averaged,
which params say. Fixed data range; axes shorter than the window keep a shorter one.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.metric import Measurement, Metric
from audit.pairing import ROLES, measured, picked
from audit.preprocessing import Preprocessing
from audit.statistics.inference import infer, one_by_one
from audit.statistics.pool import FloatArray, IntArray, Pool, pool_of
from audit.statistics.ssim import pairwise_ms_ssim

MOST_VOLUMES = 16
LONGEST_AXIS = 64


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """One value: all pairs within synthetic against all pairs within hold-out."""
    picks = picked(comparison, most=MOST_VOLUMES)
    images = {
        role: [
            _small(comparison.preprocessing, comparison.cohort(role)[int(i)].image)
            for i in picks[role][: len(picks["synthetic"])]
        ]
        for role in ROLES
        if len(picks[role])
    }
    pool = _pool(images)
    found = infer(
        one_by_one(excess_similarity),
        pool,
        rng=rng,
        permutations=499,
        power=False,
    )
    within = {f"ms_ssim_{r}": _mean_pair(pool, getattr(pool, r)) for r in ("holdout", "synthetic")}
    return measured(comparison, found, **within, longest_axis=LONGEST_AXIS, data_range=2.0)


def excess_similarity(pool: Pool, real: IntArray, synthetic: IntArray) -> float:
    """Mean similarity within the synthetic rows less that within the real ones."""
    return _mean_pair(pool, synthetic) - _mean_pair(pool, real)


def _pool(images: dict[str, list[npt.NDArray[np.float32]]]) -> Pool:
    """A pool whose rows are the similarities to all volumes, so that sets index a matrix."""
    stacked = np.stack([image for role in ROLES for image in images.get(role, [])])
    shape = [len(stacked), *(size for size in stacked.shape[1:] if size > 1)]
    similarity = pairwise_ms_ssim(stacked.reshape(shape))
    ends = np.cumsum([len(images.get(role, [])) for role in ROLES])
    train, holdout, synthetic = np.split(similarity, ends[:-1])
    pool = pool_of(train=train, holdout=holdout, synthetic=synthetic)
    pool.once("similarity", lambda: similarity)
    return pool


def _mean_pair(pool: Pool, rows: IntArray) -> float:
    similarity: FloatArray = pool.once("similarity", lambda: np.zeros((0, 0)))
    block = similarity[np.ix_(rows, rows)]
    return float((block.sum() - np.trace(block)) / (len(rows) * (len(rows) - 1)))


def _small(preprocessing: Preprocessing, volume: object) -> npt.NDArray[np.float32]:
    """One image (z, y, x): channels and frames averaged, long axes area-averaged to 64."""
    import torch

    image = preprocessing(volume).mean(axis=(0, 1))  # type: ignore[arg-type]
    size = [min(s, LONGEST_AXIS) for s in image.shape]
    if size == list(image.shape):
        return np.asarray(image)
    pooled = torch.nn.functional.adaptive_avg_pool3d(
        torch.from_numpy(image)[None, None], tuple(size)
    )
    return np.asarray(pooled[0, 0].numpy())


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("collapse",),
    bounds=(-1.0, 1.0),
    needs=("holdout",),
    source="Odena et al. 2017, arXiv:1610.09585, section 4.2; Wang et al. 2003, "
    "doi 10.1109/ACSSC.2003.1292216",
)
