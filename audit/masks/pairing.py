"""From a comparison to a pool: one row a subject, equal n, the same picks for every metric."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.metric import Measurement, Outcome
from audit.statistics.inference import Inference, infer, one_by_one, refuse_few_subjects
from audit.statistics.intervals import students_on_log
from audit.statistics.pool import FloatArray, IntArray, Pool, pool_of
from audit.statistics.scalar import transport
from audit.statistics.two_sample import one_per_subject

MOST_SUBJECTS = 1000
ROLES = ("train", "holdout", "synthetic")


def pool_for(
    comparison: Comparison, extractor: str, *, group: str | None = None, most: int = MOST_SUBJECTS
) -> Pool:
    """The pooled features of one extractor: hold-out and synthetic of equal n, and train.

    Args:
        comparison: The cohorts.
        extractor: Name of the extractor.
        group: Only cases of this class; all where not given.
        most: Most subjects a side.

    Raises:
        NotComputable: The extractor cannot be had, or there are fewer than 4 subjects a side.
    """

    def make() -> Pool:
        features = comparison.features(extractor)
        return pool_of_rows(
            comparison,
            {role: getattr(features, role) for role in ROLES},
            group=group,
            most=most,
        )

    return comparison.once(f"pool:{extractor}:{group}:{most}", make)


def pool_of_rows(
    comparison: Comparison,
    rows: dict[str, FloatArray],
    *,
    group: str | None = None,
    most: int = MOST_SUBJECTS,
) -> Pool:
    """Pool per-volume rows (n, d) of train, holdout and synthetic for inference.

    One row of each subject is drawn, both sides are cut to the same n (at most half of all real
    subjects, so that the real-versus-real floor has that n too). Which ones is decided by content,
    so neither order nor names of the files matter.

    Raises:
        NotComputable: Fewer than 4 subjects a side.
    """
    picks = picked(comparison, group=group, most=most)
    width = rows["synthetic"].shape[1]
    chosen = {r: rows[r].reshape(len(rows[r]), width)[picks[r]] for r in ROLES}
    return pool_of(**chosen, spare=rows["holdout"].reshape(-1, width)[picks["spare"]])


def picked(
    comparison: Comparison, *, group: str | None = None, most: int = MOST_SUBJECTS
) -> dict[str, IntArray]:
    """Positions in each cohort of the volumes that enter two-sample statistics, by role.

    ``spare`` are further held-out volumes, for the floor.

    Raises:
        NotComputable: Fewer than 4 subjects a side.
    """

    def make() -> dict[str, IntArray]:
        drawn = {role: _canonical(comparison, role, group) for role in ROLES}
        n = min(
            len(drawn["holdout"]),
            len(drawn["synthetic"]),
            (len(drawn["holdout"]) + len(drawn["train"])) // 2,
            most,
        )
        refuse_few_subjects(n)
        return {
            "train": drawn["train"][: 2 * n],
            "holdout": drawn["holdout"][:n],
            "spare": drawn["holdout"][n : 2 * n],
            "synthetic": drawn["synthetic"][:n],
        }

    return comparison.once(f"picked:{group}:{most}", make)


def subsampling(comparison: Comparison, n: int) -> str:
    """Sentence for the result: what was left out to have equal n and one volume a subject."""
    sizes = {role: len(comparison.cohort_or_empty(role)) for role in ("holdout", "synthetic")}
    left = [f"{n} of {size} {role} volumes" for role, size in sizes.items() if size > n]
    return f"one volume a subject, equal n: {' and '.join(left)}" if left else ""


def measured(comparison: Comparison, found: Inference, **params: object) -> Measurement:
    """The measurement of an inference, with references and verdict in their places."""
    floor = found.floor
    reference: dict[str, float | None] = {
        "null": found.test.null_mean,
        "null_sd": found.test.null_sd,
        "to_train": found.to_train,
        "smallest_shift_sd": found.smallest_shift_sd,
    }
    if floor:
        reference |= {
            "real_vs_real": floor.mean,
            "real_vs_real_low": floor.low,
            "real_vs_real_high": floor.high,
        }
    note = subsampling(comparison, found.estimate.n)
    return Measurement(
        estimate=found.estimate,
        reference=reference,
        p_value=found.test.p_value,
        params={
            **params,
            "test": f"permutation of subjects' labels, {found.test.permutations} draws",
            "verdict": found.verdict,
            **({"subsampling": note} if note else {}),
        },
        series={
            "null": [float(v) for v in np.sort(found.null)[:: max(1, len(found.null) // 100)]],
            "floor": [float(v) for v in np.sort(floor.values)] if floor else [],
        },
    )


def by_extractor(
    comparison: Comparison,
    rng: np.random.Generator,
    measure: Callable[[str, np.random.Generator], Measurement],
) -> dict[str, Outcome]:
    """One outcome per extractor, each with its own stream: never mixed, never averaged.

    Raises:
        NotComputable: None is configured.
    """
    if not comparison.extractor_names:
        raise NotComputable("no extractor is configured", "at least one", "Name one in the audit")
    return by_variant(comparison.extractor_names, rng, measure)


def by_class(
    comparison: Comparison,
    rng: np.random.Generator,
    measure: Callable[[str, str, np.random.Generator], Measurement],
) -> dict[str, Outcome]:
    """One outcome per extractor and class, as ``extractor/class``."""
    groups = sorted({g for g in comparison.synthetic.groups if g})

    def one(variant: str, own: np.random.Generator) -> Measurement:
        extractor, _, group = variant.partition("/")
        return measure(extractor, group, own)

    names = [f"{e}/{g}" for e in comparison.extractor_names for g in groups]
    return by_variant(names, rng, one)


def by_variant(
    names: Sequence[str],
    rng: np.random.Generator,
    measure: Callable[[str, np.random.Generator], Measurement],
) -> dict[str, Outcome]:
    """One outcome per name; a name without a value keeps its reason, and its stream is its own."""
    base = int(rng.integers(2**62))
    outcomes: dict[str, Outcome] = {}
    for name in names:
        try:
            own = np.random.default_rng([base, zlib.crc32(name.encode())])
            outcomes[name] = measure(name, own)
        except NotComputable as reason:
            outcomes[name] = reason
    return outcomes


def _canonical(comparison: Comparison, role: str, group: str | None) -> IntArray:
    """One volume of each subject, in an order that depends on contents alone."""
    cohort = comparison.cohort_or_empty(role)
    by_content = np.array(np.argsort(cohort.case_hashes, kind="stable"), dtype=np.intp)
    if group is not None:
        by_content = by_content[[cohort.groups[i] == group for i in by_content]]
    if not len(by_content):
        return by_content
    rng = np.random.default_rng([comparison.workshop.seed, zlib.crc32(role.encode())])
    firsts = one_per_subject([cohort.subjects[i] for i in by_content], rng)
    return by_content[rng.permutation(firsts)]


def measured_scalar(
    comparison: Comparison,
    rows: dict[str, FloatArray],
    rng: np.random.Generator,
    *,
    quantity: str,
) -> Measurement:
    """Wasserstein-1 distance of one number per volume, hold-out against synthetic.

    Args:
        comparison: The cohorts.
        rows: The number (n, 1) by role.
        rng: Source of randomness.
        quantity: What the number is.

    Raises:
        NotComputable: Fewer than 4 subjects a side.
    """
    pool = pool_of_rows(comparison, rows)
    found = infer(one_by_one(transport), pool, rng=rng, permutations=499, interval=students_on_log)
    real, synthetic = (pool.rows[p, 0] + pool.center[0] for p in (pool.holdout, pool.synthetic))
    base = measured(
        comparison,
        found,
        quantity=quantity,
        mean_real=float(real.mean()),
        mean_synthetic=float(synthetic.mean()),
    )
    values = {"values_real": np.sort(real), "values_synthetic": np.sort(synthetic)}
    return replace(
        base, series={**base.series, **{k: [float(x) for x in v] for k, v in values.items()}}
    )
