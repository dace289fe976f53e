"""Features that are not an extractor's, of train, hold-out and synthetic."""

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.extractor import Encoder, embed_cohort

ROLES = ("train", "holdout", "synthetic")


def rows_by_role(
    comparison: Comparison, name: str, encoder: Encoder
) -> dict[str, npt.NDArray[np.float32]]:
    """Features (n, d) by role, (0, 0) of a cohort that is missing; cached by content.

    Args:
        comparison: The cohorts.
        name: Time and energy are booked as ``audit.features.<name>``.
        encoder: What makes them.

    Raises:
        NotComputable: The features of a volume are not finite.
    """
    preprocessing, workshop = comparison.preprocessing, comparison.workshop
    with workshop.ledger.phase(f"audit.features.{name}"):
        return {
            role: embed_cohort(cohort, encoder, preprocessing, workshop.cache)
            if len(cohort := comparison.cohort_or_empty(role))
            else np.zeros((0, 0), dtype=np.float32)
            for role in ROLES
        }
