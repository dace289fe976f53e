"""One generator's samples and their audit: the step that runs, replicates and A/A runs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import BadInput
from audit.progress import is_first_process
from voxaudit.first_process import wait_until

if TYPE_CHECKING:
    from audit.cohort import Cohort
    from audit.config import Config, GeneratorSpec
    from audit.ledger import Ledger
    from generators.protocol import VolumeGenerator

DEFAULT_N = 32


@dataclass(frozen=True, kw_only=True)
class Real:
    """The real cohorts of a configuration.

    Attributes:
        train: What generators learn from.
        holdout: What they never see.
        conditions: Masks to sample for, or None.
    """

    train: "Cohort"
    holdout: "Cohort"
    conditions: "Cohort | None"


def sample_and_score(
    config: "Config",
    spec: "GeneratorSpec",
    generator: "VolumeGenerator | None",
    folder: Path,
    *,
    real: Real,
    seed: int,
    ledger: "Ledger",
) -> None:
    """Sample a generator and audit what it made.

    Args:
        config: What to measure. Its seed stays the audit's: other weights of an encoder would make
            another measuring device.
        spec: Which generator.
        generator: The same, fitted; None where the volumes lie in a folder.
        folder: Run folder.
        real: The real cohorts.
        seed: Of sampling only.
        ledger: Where time and energy are booked.

    Raises:
        BadInput: The folder holds samples that were made otherwise.
    """
    from audit.scoring import score

    asked = real.conditions if spec.conditional else None
    samples = (
        folder_cohort(spec)
        if generator is None
        else _sampled(generator, spec, folder / "synthetic", seed, asked, ledger)
    )
    score(
        train=real.train,
        holdout=real.holdout,
        synthetic=samples,
        conditions=asked,
        only=spec.only or config.metrics.only,
        seed=config.seed,
        out=folder,
        name=f"{config.name} · {spec.id}",
        extractors=config.metrics.extractors or None,
        weights={k: Path(v) for k, v in config.metrics.weights.items()},
        options=_options(config),
        device=config.device,
        labels=config.data.labels,
        generator=generator,
        ledger=ledger,
        sampled_in=Path(spec.path) if generator is None and spec.path is not None else None,
    )


def _sampled(
    generator: "VolumeGenerator",
    spec: "GeneratorSpec",
    folder: Path,
    seed: int,
    conditions: "Cohort | None",
    ledger: "Ledger",
) -> Path:
    """The manifest of as many samples as were asked for, in every process."""
    from generators.sampling import sample_to_folder

    n = spec.n or DEFAULT_N
    manifest = sample_to_folder(
        generator, n, folder, seed=seed, conditions=conditions, ledger=ledger, **spec.sampling
    )
    if not is_first_process():
        wait_until(lambda: _listed(manifest) == n, "the list of samples")
    return manifest


def _listed(manifest: Path) -> int:
    """Samples that a manifest names; the first process replaces that of an earlier run."""
    if not manifest.is_file():
        return 0
    return len(manifest.read_text(encoding="utf-8").splitlines()) - 1


def folder_cohort(spec: "GeneratorSpec") -> "Cohort":
    """Somebody else's volumes, where they lie; the first n of them where n is given."""
    from audit.scoring import open_cohort

    if spec.path is None:
        raise BadInput(f"generator '{spec.id}' names no folder", "path", "Add path: FOLDER")
    made = open_cohort(Path(spec.path), "synthetic")
    return made.subset(range(min(spec.n or len(made), len(made))))


def trained(
    config: "Config", spec: "GeneratorSpec", folder: Path, train: "Cohort", ledger: "Ledger"
) -> "VolumeGenerator | None":
    """The generator of a run folder: trained there, or only loaded where it was; None for files."""
    from generators.choose import choose

    if spec.kind == "folder":
        return None
    generator = choose(spec.kind, preset=spec.preset, params=spec.params, path=spec.path)
    if spec.path is None:
        options: dict[str, Any] = {}
        if spec.conditional:
            options["structures"] = _structures(train)
        generator.fit(
            train,
            folder=folder / "model",
            seed=config.seed,
            ledger=ledger,
            cpu=config.device == "cpu",
            **options,
        )
    return generator


def _options(config: "Config") -> dict[str, Any]:
    profile = {"profile": config.profile} if config.profile else {}
    return {
        **config.metrics.options,
        "real_images_public": config.data.phantom is not None,
        "zone": config.carbon.zone,
        "pue": config.carbon.pue,
        **profile,
    }


def _structures(train: "Cohort") -> tuple[str, ...]:
    """Label names of the training cohort, which a conditional generator follows."""
    labels = train[0].labels
    if labels is None:
        raise BadInput("a conditional generator needs label maps", "a labeled training cohort")
    return tuple(labels.names)
