"""Vendi score: the effective number of different volumes in a set."""

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable

FloatArray = npt.NDArray[np.float64]


def vendi_score(features: npt.ArrayLike, *, order: float = 1.0) -> float:
    """Exponential of the Rényi entropy of the spectrum of cosine similarities over n.

    Args:
        features: Rows (n, d), compared by cosine.
        order: Order q of the entropy: 1 is Shannon's, ``inf`` looks at the largest mode only.

    Returns:
        Between 1 (all alike) and n (all orthogonal).

    Raises:
        NotComputable: No rows, or a row of length 0, which has no direction.

    References:
        Friedman and Dieng 2023, arXiv:2210.02410; Pasarkar and Dieng 2023, arXiv:2310.12952.
    """
    rows = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    if len(rows) == 0 or not (lengths > 0).all():
        raise NotComputable(
            "a volume whose features are all 0" if len(rows) else "no volumes",
            "features with a direction",
        )
    unit = rows / lengths[:, None]
    smaller = unit @ unit.T if len(rows) <= rows.shape[1] else unit.T @ unit
    return effective_number(np.linalg.eigvalsh(smaller / len(rows)), order=order)


def effective_number(weights: npt.ArrayLike, *, order: float = 1.0) -> float:
    """Hill number of weights that sum to 1.

    References:
        Hill 1973, doi 10.2307/1934352.
    """
    p = np.asarray(weights, dtype=np.float64)
    p = p[p > 1e-12]
    p = p / p.sum()
    if order == 1:
        return float(np.exp(-(p * np.log(p)).sum()))
    if np.isinf(order):
        return float(1 / p.max())
    return float((p**order).sum() ** (1 / (1 - order)))
