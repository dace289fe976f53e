"""The published protocol, beside what a generator that copies nothing scores at these pool sizes.

The threshold is the 95th percentile of train to its nearest hold-out; ``memorized`` is the share of
training volumes, ``copies`` the share of synthetic volumes beyond it. Because the databases that
are searched differ in size from the hold-out, the null is ``1 - 0.95^(ratio)`` and not 5 %: read
the number against ``real_vs_real``, or read ``similarity_rate``, which needs no correction.
"""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.copies.search import extractor_of, require_trusted
from audit.metric import Measurement, Metric
from audit.neighbors import pearson_rows, top_k
from audit.statistics.conformal import excess, share_by_subject

Rows = npt.NDArray[np.floating]
PERCENTILE = 95.0


def dar_protocol(
    *, train: Rows, holdout: Rows, synthetic: Rows
) -> tuple[float, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Threshold, memorized training volumes (n,) and copies among synthetic volumes (m,).

    Args:
        train: Embeddings (n, d) of the training volumes.
        holdout: Embeddings of real volumes that the generator never saw.
        synthetic: Embeddings (m, d) of what it made.
    """
    train, holdout, synthetic = (pearson_rows(rows) for rows in (train, holdout, synthetic))
    threshold = float(np.percentile(top_k(train, holdout, 1)[0][:, 0], PERCENTILE))
    memorized = top_k(train, synthetic, 1)[0][:, 0] > threshold
    copies = top_k(synthetic, train, 1)[0][:, 0] > threshold
    return threshold, memorized, copies


def expected_null(searched: int, holdout: int) -> float:
    """Share that independent samples exceed: ``1 - 0.95^(searched / holdout)``."""
    return float(1 - (PERCENTILE / 100) ** (searched / holdout))


def compute(comparison: Comparison, rng: np.random.Generator) -> dict[str, Measurement]:  # noqa: ARG001
    """Both shares, with intervals by patient."""
    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    require_trusted(comparison)
    features = comparison.features(extractor_of(comparison))
    threshold, memorized, copies = dar_protocol(
        train=features.train, holdout=features.holdout, synthetic=features.synthetic
    )
    sizes = {
        "n_train": len(features.train),
        "n_holdout": len(features.holdout),
        "n_synthetic": len(features.synthetic),
    }
    found = {
        "memorized": (memorized, features.train_subjects, len(features.synthetic)),
        "copies": (copies, features.synthetic_subjects, len(features.train)),
    }
    measured = {}
    for name, (flags, subjects, searched) in found.items():
        share = share_by_subject(flags, subjects)
        null = expected_null(searched, len(features.holdout))
        measured[name] = Measurement(
            estimate=share,
            reference={"real_vs_real": null, "null": null, "excess": excess(share.value, null)},
            params={**features.params, **sizes, "threshold": threshold, "percentile": PERCENTILE},
        )
    return measured


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("copying",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    source="Dar et al. 2024, arXiv:2402.01054; the null is ours",
)
