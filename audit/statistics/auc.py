"""Interval of an area under the ROC curve that stays open at 0 and 1."""

AUC_METHOD = "score interval of Newcombe (2006, method 5)"


def auc_interval(value: float, n_positive: int, n_negative: int) -> tuple[float, float]:
    """95 % score interval of P(positive beats negative), from Hanley and McNeil's variance.

    Resampling cannot say how sure a perfect separation of few cases is: every redrawn cohort is
    separated as well. Here the variance is taken at each area that is tried and not at the value.

    Args:
        value: Observed area, in [0, 1].
        n_positive: Independent cases (patients) on one side.
        n_negative: And on the other.

    Returns:
        (low, high), within [0, 1], with ``low <= value <= high``.

    References:
        Newcombe 2006, Statistics in Medicine 25, 559-573, method 5.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = norm.ppf(0.975)
    more = (n_positive + n_negative) / 2 - 1

    def excess(area: float) -> float:
        shape = (1 - area) / (2 - area) + area / (1 + area)
        variance = area * (1 - area) * (1 + more * shape) / (n_positive * n_negative)
        return float((value - area) ** 2 - z**2 * variance)

    edge = 1e-9  # at 0 and 1 themselves the variance is 0, which would be a root too
    inside = min(max(value, edge), 1 - edge)
    low = brentq(excess, edge, inside) if excess(edge) > 0 else 0.0
    high = brentq(excess, inside, 1 - edge) if excess(1 - edge) > 0 else 1.0
    return min(float(low), value), max(float(high), value)
