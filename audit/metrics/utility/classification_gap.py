"""Does a classifier trained on synthetic cases tell real pathologies apart as one trained on real?

The value is the balanced accuracy on held-out real patients of a logistic regression on features of
synthetic cases, minus that of one on as many real cases, paired by subject; 0 means that
the synthetic cohort teaches as much. The variant ``mixed`` trains on both. ``real_vs_real`` is the
gap between two draws of real training cases. Features come from the audit's first extractor that
can be had, named in the parameters: it limits what can be learned, for both sides alike.

It lies where groups are told apart by an artifact of the generator that real cases lack, and where
fewer than two groups have real cases enough.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison, Features
from audit.errors import NotComputable
from audit.estimate import bootstrap_by_subject
from audit.metric import Measurement, Metric, Outcome

FEWEST = 3
Rows = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]


def correct(*, train: Rows, train_groups: Names, test: Rows, test_groups: Names) -> Rows:
    """Whether each test row (m,) is put into its group, weighted to average to balanced accuracy.

    Args:
        train: Features (n, d).
        train_groups: Group of each row.
        test: Features (m, d).
        test_groups: Group of each row.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, counts = np.unique(test_groups, return_counts=True)
    size = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    weight = np.array([len(test) / (len(classes) * size[g]) for g in test_groups.tolist()])
    if len(np.unique(train_groups)) == 1:
        said = np.full(len(test), train_groups[0])
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        said = model.fit(train, train_groups).predict(test)
    return np.asarray(weight * (said == test_groups), dtype=np.float64)


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Outcome]:
    """Train on synthetic, on real at the same n, on both; test on hold-out."""
    features = _first_features(comparison)
    train, synthetic, test = (
        _groups(comparison.cohort(role).groups) for role in ("train", "synthetic", "holdout")
    )
    known = _shared_groups(train, test)
    n = {g: int((train == g).sum()) for g in known}
    total = min(sum(n.values()), int(np.isin(synthetic, known).sum()))
    if total < FEWEST:
        raise NotComputable(
            f"{total} synthetic cases name a group that real cases name", f"{FEWEST} or more"
        )
    inside = np.isin(test, known)

    def score(*parts: tuple[Rows, Names]) -> Rows:
        return correct(
            train=np.concatenate([rows for rows, _ in parts]),
            train_groups=np.concatenate([groups for _, groups in parts]),
            test=features.holdout[inside],
            test_groups=test[inside],
        )

    def draw(rows: Rows, groups: Names) -> tuple[Rows, Names]:
        """Drawn with replacement, as many as both sides can give, so that both are alike."""
        picks = rng.choice(np.flatnonzero(np.isin(groups, known)), size=total)
        return rows[picks], groups[picks]

    real, made = draw(features.train, train), draw(features.synthetic, synthetic)
    scores = {
        "real": score(real),
        "again": score(draw(features.train, train)),
        "synthetic": score(made),
        "mixed": score(real, made),
    }
    subjects = [s for s, keep in zip(features.holdout_subjects, inside, strict=True) if keep]
    return {
        name: _measurement(scores, name, subjects, features, total, known, rng)
        for name in ("synthetic", "mixed")
    }


def _measurement(
    scores: dict[str, Rows],
    name: str,
    subjects: Sequence[str],
    features: Features,
    total: int,
    known: Sequence[str],
    rng: np.random.Generator,
) -> Measurement:
    def gap(tried: str) -> Rows:
        return scores[tried] - scores["real"]

    def mean(rows: npt.NDArray[np.floating]) -> float:
        return float(np.clip(np.mean(rows), -1, 1))

    floor = bootstrap_by_subject(mean, gap("again"), subjects, rng=rng)
    return Measurement(
        estimate=bootstrap_by_subject(mean, gap(name), subjects, rng=rng),
        reference={
            "real_vs_real": floor.value,
            "real_vs_real_low": floor.low,
            "real_vs_real_high": floor.high,
        },
        params={
            **features.params,
            "trained_on": 2 * total if name == "mixed" else total,
            "groups": list(known),
            "train_on_real_accuracy": float(scores["real"].mean()),
            "accuracy": float(scores[name].mean()),
            "classifier": "logistic regression on standardized features, C = 0.1",
        },
    )


def _first_features(comparison: Comparison) -> Features:
    reasons = []
    for name in comparison.extractor_names:
        try:
            return comparison.features(name)
        except NotComputable as error:
            reasons.append(error.reason)
    raise NotComputable("no extractor can be had", "one", " ".join(reasons))


def _groups(groups: Sequence[str | None]) -> Names:
    return np.array([g or "" for g in groups], dtype=np.str_)


def _shared_groups(train: Names, test: Names) -> list[str]:
    shared = sorted(g for g in set(train.tolist()) & set(test.tolist()) if g)
    known = [g for g in shared if min((train == g).sum(), (test == g).sum()) >= FEWEST]
    if len(known) < 2:
        raise NotComputable(
            f"{len(known)} groups have {FEWEST} real cases in both train and hold-out",
            "two or more groups",
        )
    return known


METRIC = Metric(
    compute=compute,
    better="higher",
    detects=("collapse",),
    bounds=(-1.0, 1.0),
    needs=("holdout", "groups"),
    source="Train on synthetic, test on real: Esteban et al. 2017, arXiv:1706.02633, Sec. 4.2",
    default=False,
)
