"""Share of synthetic volumes that are confirmed copies of a training patient.

Each volume is registered to its nearest training volumes; confirmed is what fits one of them better
than one in 1000 held-out patients would, by the prediction limit of what held-out patients show,
and far better than the next patient; duplicates that ``duplicates`` finds count as one patient.
Copies of a part, or copies so distorted that the encoder ranks other patients first, are not in it:
``planted_recovery`` says which it finds. The verdict is one of: copies confirmed, excess
similarity, no evidence at a detectable rate of r, inconclusive. None of them is a promise of
privacy.
"""

import numpy as np

from audit.comparison import Comparison
from audit.copies.confirmation import FALSE_RATE, Confirmation, confirm
from audit.copies.search import (
    ALPHA,
    FALSE_DISCOVERIES,
    Matches,
    encoder_auc,
    require_trusted,
    search_matches,
)
from audit.estimate import Estimate
from audit.metric import Measurement, Metric
from audit.statistics.conformal import (
    chance_of_more_flagged,
    excess,
    flagged_range,
    share_by_subject,
    smallest_detectable,
)


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """Two stages: embedding, then registration.

    More confirmed volumes than the hold-out itself can explain stand whatever the encoder is worth;
    fewer, or none, count only where the encoder would have named the source.
    """
    flagged_range(len(comparison.synthetic), _patients(comparison), ALPHA)
    found, result = search_matches(comparison), confirm(comparison)
    if _p_of_copies(result, len(result.confirmed), stated=False) >= ALPHA:
        require_trusted(comparison)
    share = share_by_subject(result.confirmed, comparison.synthetic.subjects)
    n, n_null = len(found.p_values), len(found.holdout)
    fewest = smallest_detectable(n, n_null, FALSE_DISCOVERIES)
    return Measurement(
        estimate=share,
        reference={
            "real_vs_real": result.false_rate,
            "excess": excess(share.value, result.false_rate),
        },
        p_value=_p_of_copies(result, n),
        params={
            **found.params,
            "verdict": verdict(found, result, share),
            "test": "confirmed copies against the stated rate of false ones",
            "false_rate": FALSE_RATE,
            "limit": round(result.limit, 4),
            "alpha": ALPHA,
            "encoder_auc": round(encoder_auc(comparison).value, 4),
            "suspicious": int(found.suspicious.sum()),
            "flagged_at_fdr": int(found.discoveries.sum()),
            "fdr": FALSE_DISCOVERIES,
            "fewest_detectable_at_fdr": fewest if fewest <= n else None,
        },
        series={
            "synthetic_to_train": [float(v) for v in found.synthetic[:, 0]],
            "holdout_to_train": [float(v) for v in found.holdout],
            "train_to_train": [float(v) for v in found.train],
            "threshold": [float(np.quantile(found.holdout, 1 - ALPHA, method="higher"))],
            "aligned_ncc": [float(v) for v in result.fit.ncc],
            "aligned_ncc_holdout": [float(v) for v in result.null.ncc],
        },
        cases=_cases(comparison, found, result),
    )


def verdict(found: Matches, result: Confirmation, share: Estimate) -> str:
    """One of the four words, with the rate that would have been seen."""
    n = len(found.p_values)
    if _p_of_copies(result, n) < ALPHA:
        return "copies confirmed"
    suspicious = int(found.suspicious.sum())
    if chance_of_more_flagged(suspicious, n, len(found.holdout), ALPHA) < ALPHA:
        return "excess similarity"
    rate = share.high if share.high is not None else 1.0
    return f"no evidence at a detectable rate of {rate:.3f}"


def _p_of_copies(result: Confirmation, n: int, *, stated: bool = True) -> float:
    """Chance of so many confirmed if none is a copy.

    At the stated rate; without it, or where the rule confirms held-out patients too, at what the
    number of those leaves open.
    """
    from scipy.stats import betabinom, binom

    n_null = len(result.null.ncc)
    hits = round(result.false_rate * n_null)
    confirmed = int(result.confirmed.sum())
    open_law = betabinom(n, hits + 1, n_null - hits + 1)
    law = binom(n, FALSE_RATE) if stated and not hits else open_law
    return float(law.sf(confirmed - 1)) if confirmed else 1.0


def _patients(comparison: Comparison) -> int:
    return len(set(comparison.cohort("holdout").subjects))


def _cases(comparison: Comparison, found: Matches, result: Confirmation):  # type: ignore[no-untyped-def]
    import pandas as pd

    return pd.DataFrame(
        {
            "id": comparison.synthetic.ids,
            "role": "synthetic",
            "memorization.similarity": found.synthetic[:, 0],
            "memorization.p_value": found.p_values,
            "memorization.copy_confirmed": result.confirmed.astype(int),
            "memorization.flagged": (result.confirmed | found.discoveries).astype(int),
        }
    )


METRIC = Metric(
    compute=compute,
    better="lower",
    detects=("copying",),
    bounds=(0.0, 1.0),
    needs=("holdout",),
    version=2,  # 2: another likeness of aligned volumes, half-normal gaps
    source="Dar et al. 2024, arXiv:2402.01054; calibrated by Bates et al. 2023, arXiv:2104.08279",
)
