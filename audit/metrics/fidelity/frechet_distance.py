"""Distance between Gaussians fitted to features of held-out real and of synthetic volumes (FID).

0 where mean and covariance agree. Biased upward at finite n, and nearly all bias where there are
fewer volumes than features: read it against ``real_vs_real`` (two real cohorts of the same n), and
never across extractors, preprocessings or n. Both sides have the same n. The interval is for the
expectation at this n. Two cohorts with equal mean and covariance can still differ: see
``fidelity.kernel_distance``.

The extractor ``voldit_medicalnet`` feeds its network as VolDiT's released code does, so that a
value on 100 volumes a side can be set beside its LUNA16 table. 2.5D extractors average slices per
volume: slices are no independent samples, and tables that count slices do not compare.
"""

from collections.abc import Sequence

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.masks.pairing import by_extractor, measured, pool_for
from audit.metric import Measurement, Metric, Outcome
from audit.statistics.frechet import frechet, frechet_floor, frechet_in_pool
from audit.statistics.inference import Inference, infer, one_by_one
from audit.statistics.intervals import students_on_log_of_squared
from audit.statistics.pool import FloatArray, Pool


def frechet_distance(*, real: FloatArray, synthetic: FloatArray) -> float:
    """Fréchet distance of features (n, d) with the same n on both sides.

    Raises:
        NotComputable: Fewer than two rows, or unequal n: the bias would differ between the sides.
    """
    if len(real) != len(synthetic):
        raise NotComputable(
            f"{len(real)} real and {len(synthetic)} synthetic volumes",
            "the same number of each, for the bias depends on n",
            "Subsample the larger side",
        )
    return frechet(real=real, synthetic=synthetic).value


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """One value per extractor: hold-out against synthetic."""

    def one(extractor: str, own: np.random.Generator) -> Measurement:
        pool = pool_for(comparison, extractor)
        draws = affordable_draws(min(len(pool.synthetic), pool.dim))
        found = infer(
            one_by_one(lambda p, a, b: frechet_in_pool(p, a, b).value),
            pool,
            rng=own,
            permutations=draws,
            splits=max(20, draws // 4),
            interval=students_on_log_of_squared,
        )
        return _with_bias(comparison, extractor, pool, found)

    return by_extractor(comparison, rng, one)


def affordable_draws(rank: int) -> int:
    """Permutations that the cost of one distance (rank cubed) allows: 199 down to 99."""
    return 199 if rank <= 300 else 99


def bias_line(pool: Pool, n: int) -> float | None:
    """Closed-form floor of equal Gaussians at n volumes a side; None where n is too small."""
    real = pool.rows[pool.real]
    spectrum = np.linalg.svd(real - real.mean(axis=0), compute_uv=False) ** 2 / (len(real) - 1)
    try:
        return frechet_floor(spectrum, n, n)
    except NotComputable:
        return None


def _with_bias(comparison: Comparison, extractor: str, pool: Pool, found: Inference) -> Measurement:
    terms = frechet_in_pool(pool, pool.holdout, pool.synthetic)
    line = bias_line(pool, found.estimate.n)
    base = measured(
        comparison,
        found,
        **comparison.features(extractor).params,
        mean_term=terms.mean,
        covariance_term=terms.covariance,
        excess_over_null=found.estimate.value - found.test.null_mean,
        **({} if line is not None else {"bias_line": "none: fewer volumes than features"}),
    )
    return Measurement(
        estimate=base.estimate,
        reference={**base.reference, **({"bias_line": line} if line is not None else {})},
        p_value=base.p_value,
        params=base.params,
        series={**base.series, **_bias_series(pool, [found.estimate.n])},
    )


def _bias_series(pool: Pool, most: Sequence[int]) -> dict[str, list[float]]:
    """The bias line over n, for the figure."""
    sizes = [n for n in (25, 50, 100, 200, 400, 800, 1600, 3200) if n >= min(most) / 2]
    lines = [(n, line) for n in sizes if (line := bias_line(pool, n)) is not None]
    return {"bias_n": [float(n) for n, _ in lines], "bias_line": [line for _, line in lines]}


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("noise", "blur", "collapse", "intensity_shift"),
    bounds=(0.0, np.inf),
    needs=("holdout",),
    source="Heusel et al. 2017, arXiv:1706.08500, eq. 6; floor and permutation null at the same n",
)
