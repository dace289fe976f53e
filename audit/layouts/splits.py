"""Names of splits, and which roles they stand for."""

TRAIN = ("train", "training", "tr")
HOLDOUT = (
    *("holdout", "hold-out", "hold_out", "heldout", "held-out"),
    *("val", "valid", "validation", "dev", "test", "testing", "ts"),
)
ROLE_OF = {**dict.fromkeys(TRAIN, "train"), **dict.fromkeys(HOLDOUT, "holdout")}


def is_split(name: str) -> bool:
    """Whether a folder name or cell names a split."""
    return name.strip().lower() in ROLE_OF


def role_of(split: str) -> str | None:
    """``train`` or ``holdout``; None for a split of another name."""
    return ROLE_OF.get(split.strip().lower())
