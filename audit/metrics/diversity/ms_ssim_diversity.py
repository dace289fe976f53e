"""How much more alike synthetic volumes are to one another than held-out real ones (MS-SSIM).

``pairs`` is the published form: mean MS-SSIM over all pairs of synthetic volumes less the same over
real pairs. It misses a collapse onto a few modes that lie apart, so ``nearest`` averages each
volume's similarity to its most similar other one. 0 where both cohorts are as varied, positive
where the generator repeats itself. Negative is no merit: noise is unlike everything. At most 16
volumes a side enter, frames averaged, axes longer than 64 area-averaged, which params say.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.masks.pairing import ROLES, by_variant, measured, picked
from audit.metric import Measurement, Metric, Outcome
from audit.preprocessing import Preprocessing
from audit.statistics.inference import infer, one_by_one
from audit.statistics.pool import FloatArray, IntArray, Pool, pool_of
from audit.statistics.ssim import pairwise_ms_ssim

MOST_VOLUMES = 16
LONGEST_AXIS = 64


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """Two values: within synthetic against within hold-out."""
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

    def one(kind: str, own: np.random.Generator) -> Measurement:
        within = mean_of_pairs if kind == "pairs" else mean_of_nearest
        found = infer(
            one_by_one(lambda p, real, made: within(p, made) - within(p, real)),
            pool,
            rng=own,
            permutations=499,
            power=False,
        )
        levels = {f"{r}_similarity": within(pool, getattr(pool, r)) for r in ROLES[1:]}
        return measured(comparison, found, **levels, longest_axis=LONGEST_AXIS, data_range=2.0)

    return by_variant(("pairs", "nearest"), rng, one)


def mean_of_pairs(pool: Pool, rows: IntArray) -> float:
    """Mean similarity over all pairs of rows."""
    block = _similarities(pool, rows)
    return float((block.sum() - np.trace(block)) / (len(rows) * (len(rows) - 1)))


def mean_of_nearest(pool: Pool, rows: IntArray) -> float:
    """Mean over rows of the similarity to the most similar other row."""
    block = _similarities(pool, rows).copy()
    np.fill_diagonal(block, -np.inf)
    return float(block.max(axis=1).mean())


def _similarities(pool: Pool, rows: IntArray) -> FloatArray:
    similarity: FloatArray = pool.once("similarity", lambda: np.zeros((0, 0)))
    return similarity[np.ix_(rows, rows)]


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
