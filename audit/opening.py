"""From what a user names to a Comparison: cohorts opened and checked, extractors chosen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit.cache import Cache, default_cache
from audit.cohort import Cohort, Role, read_cohort, refuse_shared_subjects, refuse_unusable
from audit.comparison import Comparison
from audit.errors import BadInput
from audit.extractor import EXTRACTORS, Workshop
from audit.ledger import Ledger
from audit.ledger_lines import SAMPLES
from audit.networks.autoencoder import autoencoder_of
from audit.preprocessing import fit_preprocessing

CohortLike = Cohort | str | Path


def build_comparison(
    *,
    train: CohortLike,
    holdout: CohortLike,
    synthetic: CohortLike,
    conditions: CohortLike | None = None,
    seed: int = 0,
    folder: Path | None = None,
    extractors: Sequence[str] | None = None,
    weights: Mapping[str, Path] | None = None,
    options: Mapping[str, Any] | None = None,
    generator: Any = None,
    ledger: Ledger | None = None,
    cache: Cache | None = None,
    device: str | None = None,
    skip_unusable: bool = False,
    labels: Mapping[str, int] | None = None,
    sampled_in: Path | None = None,
) -> Comparison:
    """Open the cohorts and gather what metrics need.

    Args:
        train: As in ``score``.
        holdout: As in ``score``.
        synthetic: As in ``score``.
        conditions: As in ``score``.
        seed: Seed of everything random.
        folder: Run folder for private intermediate files.
        extractors: Feature networks to use; None takes the defaults.
        weights: Local weight files by extractor name.
        options: Settings by part: ``segmenter``, ``encoder_seeds``, ``real_images_public``, ...;
        generator: The generator itself, for metrics that need its loss.
        ledger: Where time and energy are booked; None makes a meterless one.
        cache: Store of features and weights; None takes the user's.
        device: ``cpu`` or ``cuda``; None takes the GPU where there is one.
        skip_unusable: Leave out files that cannot be used, and say so in the result.
        labels: Code of each structure, where the cohorts do not name them.
        sampled_in: Folder with the ledger of the sampling; None looks beside ``synthetic``.

    Raises:
        BadInput: A cohort cannot be read, is empty, or shares subjects with another.
    """
    how = {"skip_unusable": skip_unusable, "labels": labels}
    cohorts = _open_all(train, holdout, synthetic, conditions, how)
    names = _chosen(extractors)
    preprocessing = fit_preprocessing(cohorts["train"])
    autoencode, autoencoder_key = autoencoder_of(generator, preprocessing)
    workshop = Workshop(
        cache=cache or default_cache(),
        seed=seed,
        device=device or _device(),
        ledger=ledger or Ledger(),
        weights=dict(weights or {}),
        autoencode=autoencode,
        autoencoder_key=autoencoder_key,
    )
    return Comparison(
        **cohorts,
        preprocessing=preprocessing,
        workshop=workshop,
        extractor_names=names,
        generator=generator,
        options=dict(options or {}),
        folder=folder,
        sampled_in=_with_ledger(sampled_in or synthetic),
    )


def _chosen(extractors: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the extractors to use; refused where one does not exist."""
    names = tuple(extractors) if extractors else default_extractors()
    for name in names:
        EXTRACTORS.match((name,))
    return names


def _open_all(
    train: CohortLike,
    holdout: CohortLike,
    synthetic: CohortLike,
    conditions: CohortLike | None,
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """The cohorts by role; refused where one is empty or patients are in train and holdout."""
    real = open_cohort(train, "train", **how)
    unseen = open_cohort(holdout, "holdout", **how)
    made = open_cohort(synthetic, "synthetic", **how)
    for cohort in (real, made):
        if len(cohort) == 0:
            raise BadInput(f"cohort '{cohort.role}' is empty", "at least one volume")
    refuse_shared_subjects(real, unseen)
    asked = open_cohort(conditions, "conditions", **how) if conditions is not None else None
    return {"train": real, "holdout": unseen, "synthetic": made, "conditions": asked}


def _with_ledger(samples: CohortLike) -> Path | None:
    """Where ``voxaudit sample`` left its ledger with the samples; None where it did not."""
    if isinstance(samples, Cohort):
        return None
    place = Path(samples)
    folder = (place if place.is_dir() else place.parent) / SAMPLES
    return folder if (folder / "ledger.jsonl").is_file() else None


def open_cohort(
    given: CohortLike,
    role: Role,
    *,
    skip_unusable: bool = False,
    labels: Mapping[str, int] | None = None,
) -> Cohort:
    """A cohort as it is, or read from a folder or manifest.

    Args:
        given: A cohort, or where it lies.
        role: What it is for.
        skip_unusable: Leave out files that cannot be used, and say so in the notes.
        labels: Code of each structure, where the place does not name them.

    Raises:
        BadInput: It cannot be read, or one of its files cannot be used.
    """
    if isinstance(given, Cohort):
        return given if given.role == role else Cohort(role, given.sources, notes=given.notes)
    cohort = read_cohort(Path(given), role=role, skip_unusable=skip_unusable, labels=labels)
    if not skip_unusable:
        refuse_unusable(cohort)  # now, not an hour into the audit
    return cohort


def default_extractors() -> tuple[str, ...]:
    """Names of the extractors that every audit uses."""
    return tuple(n for n in EXTRACTORS.names() if EXTRACTORS.load(n).default)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
