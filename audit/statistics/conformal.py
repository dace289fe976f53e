"""How sure one can be that a sample is a copy: conformal p-values, shares with clusters, power."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable
from audit.estimate import Estimate, proportion


def conformal_p_values(null: npt.ArrayLike, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """P-value of each score (m,) against the scores (n,) of cases that are known not to be copies.

    ``(1 + #{null >= score}) / (n + 1)``: valid wherever a non-copy is exchangeable with the null
    cases, whatever the score; the least possible is ``1 / (n + 1)``.

    References:
        Bates et al. 2023, arXiv:2104.08279.
    """
    ordered = np.sort(np.asarray(null, dtype=np.float64))
    below = np.searchsorted(ordered, np.asarray(scores, dtype=np.float64), side="left")
    return (1 + len(ordered) - below) / (len(ordered) + 1)


def smallest_detectable(n: int, n_null: int, rate: float) -> int:
    """Fewest flagged of n that Benjamini-Hochberg can report with n_null cases; n + 1 if none.

    All of them would have the least p-value, ``1 / (n_null + 1)``.
    """
    return min(n + 1, int(np.ceil(n / (rate * (n_null + 1)) - 1e-9)))


def flagged_range(n: int, n_null: int, alpha: float, level: float = 0.95) -> tuple[float, float]:
    """Range of the share of n novel cases with p <= alpha; exact, over both samples.

    The count is beta-binomial: the threshold is itself an order statistic of the null sample.

    Raises:
        NotComputable: ``1 / (n_null + 1)`` exceeds alpha, so that no case could be flagged.
    """
    from scipy.stats import betabinom

    k = int(np.floor(alpha * (n_null + 1) + 1e-9))
    if k < 1:
        raise NotComputable(
            f"{n_null} held-out patients cannot show a similarity as rare as {alpha:g}",
            f"at least {int(np.ceil(1 / alpha)) - 1}",
            "Hold out more patients",
        )
    tail = (1 - level) / 2
    count = betabinom(n, k, n_null + 1 - k)
    return float(count.ppf(tail)) / n, float(count.ppf(1 - tail)) / n


def chance_of_more_flagged(flagged: int, n: int, n_null: int, alpha: float) -> float:
    """Chance that at least so many of n novel cases have p <= alpha (beta-binomial)."""
    from scipy.stats import betabinom

    k = max(1, int(np.floor(alpha * (n_null + 1) + 1e-9)))
    return float(betabinom(n, k, n_null + 1 - k).sf(flagged - 1))


def share_by_subject(
    flags: npt.ArrayLike, subjects: Sequence[str], *, level: float = 0.95
) -> Estimate:
    """Share of flagged cases; the interval knows that cases of one subject are not independent.

    Wilson's interval at the effective sample size; Clopper-Pearson over subjects where all or none
    are flagged, or where each case is its own subject.

    Raises:
        NotComputable: No cases.
    """
    from scipy.stats import norm

    hits = np.asarray(flags, dtype=bool)
    names, codes = np.unique(np.asarray(subjects), return_inverse=True)
    n, groups = len(hits), len(names)
    if n == groups or not 0 < hits.sum() < n or groups < 2:
        share = float(hits.mean()) if n else 0.0
        bounds = proportion(round(share * groups), groups, level=level)
        return Estimate(
            value=share,
            low=bounds.low,
            high=bounds.high,
            n=groups,
            method=bounds.method,
            level=level,
        )
    share = float(hits.mean())
    residual = np.bincount(codes, hits - share, groups)
    inflation = groups / (groups - 1) * (residual**2).sum() / n / (share * (1 - share))
    effective = n / max(1.0, float(inflation))
    z = float(norm.ppf(0.5 + level / 2))
    center = (share + z * z / 2 / effective) / (1 + z * z / effective)
    half = z * np.sqrt(share * (1 - share) / effective + z * z / 4 / effective**2)
    half = float(half) / (1 + z * z / effective)
    return Estimate(
        value=share,
        low=max(0.0, center - half),
        high=min(1.0, center + half),
        n=groups,
        method="Wilson at the effective number of cases",
        level=level,
    )


def excess(share: float, control: float) -> float:
    """What is left of a share after the control's: ``(share - control) / (1 - control)``."""
    return (share - control) / (1 - control)
