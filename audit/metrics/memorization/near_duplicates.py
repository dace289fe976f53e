"""Share of synthetic volumes with a twin: another synthetic volume nearer than real patients are.

Synthetic and hold-out are cut to equal size in each of many draws. About 5 % where the generator
varies as the hold-out does, and at small n anything from 0 to 30 %: twins come in pairs, and the
threshold is the similarity of one pair of real patients. The range that chance gives at this n is
in the reference, and the test asks whether the number leaves it. High where the generator repeats
itself, whether or not what it repeats is a patient.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import extractor_of, one_volume_each, require_trusted
from audit.errors import NotComputable
from audit.estimate import Estimate, proportion
from audit.metric import Measurement, Metric
from audit.neighbors import pearson_rows
from audit.statistics.conformal import conformal_p_values

Rows = npt.NDArray[np.floating]
ALPHA = 0.05
DRAWS = 50
MOST = 500  # volumes of each cohort in a draw: work and memory stay bounded
RESAMPLES = 20  # of families, in each draw
PERMUTATIONS = 999


def near_duplicates(*, holdout: Rows, synthetic: Rows, rng: np.random.Generator) -> Estimate:
    """Share of synthetic volumes with a twin, over size-matched draws; rows are volumes.

    The interval redraws families, which are volumes joined by who is nearest to whom, of both
    cohorts: redrawn volumes would be their own twins. Where none has a twin, or all have, it is
    Clopper-Pearson's over the families.

    Raises:
        NotComputable: Fewer than 20 of either.
    """
    size = _matched(len(holdout), len(synthetic))
    real, made = pearson_rows(holdout), pearson_rows(synthetic)
    shares, redrawn, families = [], [], []
    for _ in range(DRAWS):
        null, nearest = (_draw(unit, size, rng) for unit in (real, made))
        shares.append(_share(_values(null), _values(nearest)))
        families.append(len(nearest))
        redrawn += [
            _share(_values(_redraw(null, rng)), _values(_redraw(nearest, rng)))
            for _ in range(RESAMPLES)
        ]
    value, units = float(np.mean(shares)), round(np.mean(families))
    low, high = (float(x) for x in np.quantile(redrawn, [0.025, 0.975]))
    if low == high:
        ends = proportion(round(value * units), units)
        return replace(ends, value=value, method=f"{ends.method}, of families: none differs")
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=units,
        method="bootstrap by families of nearest neighbors",
    )


def twins_by_chance(
    *, holdout: Rows, synthetic: Rows, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The same share (permutations,) where volumes of both cohorts change places at random.

    Raises:
        NotComputable: Fewer than 20 of either.
    """
    size = _matched(len(holdout), len(synthetic))
    unit = pearson_rows(np.concatenate([holdout, synthetic]))
    shares = []
    for _ in range(PERMUTATIONS):
        rows = rng.permutation(len(unit))[: 2 * size]
        null, nearest = (
            _similarities(unit[half]).max(axis=1) for half in (rows[:size], rows[size:])
        )
        shares.append(_share(null, nearest))
    return np.array(shares)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:
    """The share, what chance makes of it at this n, and the p-value of their difference."""
    for role in ("holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = comparison.features(extractor_of(comparison))
    cohorts = {
        "holdout": features.holdout[one_volume_each(features.holdout_subjects)],
        "synthetic": features.synthetic,
    }
    estimate = near_duplicates(**cohorts, rng=rng)
    chance = twins_by_chance(**cohorts, rng=rng)
    low, high = np.quantile(chance, [0.025, 0.975])
    as_many = int((chance >= estimate.value - 1e-9).sum())
    return Measurement(
        estimate=estimate,
        reference={
            "real_vs_real": float(chance.mean()),
            "real_vs_real_low": float(low),
            "real_vs_real_high": float(high),
            "null": ALPHA,
        },
        p_value=(1 + as_many) / (1 + len(chance)),
        params={
            **features.params,
            "alpha": ALPHA,
            "draws": DRAWS,
            "test": f"{PERMUTATIONS} permutations of synthetic and hold-out volumes",
        },
    )


def _matched(holdout: int, synthetic: int) -> int:
    if min(holdout, synthetic) < round(1 / ALPHA):
        raise NotComputable(
            f"{holdout} held-out and {synthetic} synthetic volumes", "at least 20 of each"
        )
    return min(holdout, synthetic, MOST)


def _similarities(unit: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    similarity: npt.NDArray[np.float32] = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    return similarity


def _draw(
    unit: npt.NDArray[np.float32], size: int, rng: np.random.Generator
) -> list[npt.NDArray[np.float32]]:
    """Similarity of each of ``size`` volumes to its nearest among them, by family."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    among = _similarities(unit[rng.choice(len(unit), size, replace=False)])
    nearest = among.argmax(axis=1)
    links = coo_array((np.ones(size), (np.arange(size), nearest)), shape=(size, size))
    _, family = connected_components(links, directed=False)
    values = among.max(axis=1)
    return [values[family == i] for i in range(family.max() + 1)]


def _redraw(
    families: list[npt.NDArray[np.float32]], rng: np.random.Generator
) -> list[npt.NDArray[np.float32]]:
    return [families[i] for i in rng.integers(len(families), size=len(families))]


def _values(families: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return np.concatenate(families)


def _share(null: npt.NDArray[np.float32], nearest: npt.NDArray[np.float32]) -> float:
    return float((conformal_p_values(null, nearest) <= ALPHA).mean())


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("collapse",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Collapse check beside copy detection: Stein et al. 2023, arXiv:2306.04675",
)
