"""A run: train, sample, score and report every generator of a configuration."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import BadInput
from audit.progress import say

if TYPE_CHECKING:
    from audit.cohort import Cohort
    from audit.config import Config, GeneratorSpec
    from audit.ledger import Ledger
    from generators.protocol import VolumeGenerator

DEFAULT_N = 32


def run_all(config: "Config", *, report: bool = True) -> list[Path]:
    """Train, sample, score and report every generator of a configuration.

    Calling it again continues: what is trained, sampled or measured on the same inputs is kept.

    Args:
        config: A validated audit.yaml.
        report: Whether to render each run at its end.

    Returns:
        Run folder of each generator, in order.

    Raises:
        BadInput: Data cannot be read, or the folder holds a run of another configuration.
    """
    from reports.html import write_report

    root = config.folder
    _claim(root, config)
    train, holdout, conditions = _real_cohorts(config)
    folders = []
    for position, spec in enumerate(config.generators, start=1):
        say(f"({position}/{len(config.generators)}) {spec.id}")
        folder = root / spec.id
        _run_one(config, spec, folder, train=train, holdout=holdout, conditions=conditions)
        if report:
            write_report(folder, images=config.report.images)
        folders.append(folder)
    _point_latest(root, folders[0])
    return folders


def _run_one(
    config: "Config",
    spec: "GeneratorSpec",
    folder: Path,
    *,
    train: "Cohort",
    holdout: "Cohort",
    conditions: "Cohort | None",
) -> None:
    from audit.ledger import open_ledger
    from audit.scoring import score
    from audit.throughput import remember
    from generators.sampling import sample_to_folder

    asked = conditions if spec.conditional else None
    n = spec.n or DEFAULT_N
    with open_ledger(folder, budget_kwh=config.carbon.max_kwh) as ledger:
        generator = None
        samples: Cohort | Path
        if spec.kind == "folder":
            samples = folder_cohort(spec)
        else:
            generator = _trained(config, spec, folder, train, ledger)
            samples = sample_to_folder(
                generator,
                n,
                folder / "synthetic",
                seed=config.seed,
                conditions=asked,
                ledger=ledger,
                **spec.sampling,
            )
        score(
            train=train,
            holdout=holdout,
            synthetic=samples,
            conditions=asked,
            only=spec.only or config.metrics.only,
            seed=config.seed,
            out=folder,
            name=f"{config.name} · {spec.id}",
            extractors=config.metrics.extractors or None,
            weights={k: Path(v) for k, v in config.metrics.weights.items()},
            options={
                **config.metrics.options,
                "real_images_public": config.data.phantom is not None,
                "zone": config.carbon.zone,
                "pue": config.carbon.pue,
            },
            device=config.device,
            labels=config.data.labels,
            generator=generator,
            ledger=ledger,
        )
        remember(spec.kind, spec.preset, n, ledger.records(), folder)


def folder_cohort(spec: "GeneratorSpec") -> "Cohort":
    """Somebody else's volumes, where they lie; the first n of them where n is given."""
    from audit.scoring import open_cohort

    if spec.path is None:
        raise BadInput(f"generator '{spec.id}' names no folder", "path", "Add path: FOLDER")
    made = open_cohort(Path(spec.path), "synthetic")
    return made.subset(range(min(spec.n or len(made), len(made))))


def _trained(
    config: "Config", spec: "GeneratorSpec", folder: Path, train: "Cohort", ledger: "Ledger"
) -> "VolumeGenerator":
    from generators.choose import choose

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


def _structures(train: "Cohort") -> tuple[str, ...]:
    """Label names of the training cohort, which a conditional generator follows."""
    labels = train[0].labels
    if labels is None:
        raise BadInput("a conditional generator needs label maps", "a labeled training cohort")
    return tuple(labels.names)


def _real_cohorts(config: "Config") -> tuple["Cohort", "Cohort", "Cohort | None"]:
    """Training and hold-out cohorts, and the masks to sample for."""
    from audit.scoring import open_cohort

    data = config.data
    if data.phantom is not None:
        train, holdout = _phantoms(config)
    else:
        how: dict[str, Any] = {"skip_unusable": data.skip_unusable, "labels": data.labels}
        train = open_cohort(Path(str(data.train)), "train", **how)
        holdout = open_cohort(Path(str(data.holdout)), "holdout", **how)
    if data.conditions is not None:
        return (
            train,
            holdout,
            open_cohort(Path(data.conditions), "conditions", labels=data.labels),
        )
    return train, holdout, open_cohort(holdout, "conditions") if holdout.labeled else None


def _phantoms(config: "Config") -> tuple["Cohort", "Cohort"]:
    """Phantom cohorts, written once and read back as any user's files would be."""
    from audit.cohort import read_cohort, write_cohort
    from audit.phantoms import heart_cohort, thorax_cohort

    phantom = config.data.phantom
    assert phantom is not None
    make = thorax_cohort if phantom.kind == "thorax" else heart_cohort
    cohorts = []
    for role, n, seed in (
        ("train", phantom.train, 2 * config.seed),
        ("holdout", phantom.holdout, 2 * config.seed + 1),
    ):
        folder = config.folder / "data" / role
        if not (folder / "cohort.csv").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            write_cohort(make(n, role=role, seed=seed, size=phantom.size), folder)  # type: ignore[arg-type]
        cohorts.append(read_cohort(folder, role=role))  # type: ignore[arg-type]
    return cohorts[0], cohorts[1]


def _claim(root: Path, config: "Config") -> None:
    """Refuse to continue a run with other data or another seed under the same name."""
    from audit.result import write_text

    identity = {"seed": config.seed, "data": config.data.model_dump()}
    file = root / "run.json"
    if file.is_file() and json.loads(file.read_text()) != json.loads(json.dumps(identity)):
        raise BadInput(
            f"the run folder '{root.name}' belongs to other data or another seed",
            "the same, to continue it",
            "Choose another name or out, or delete the folder",
        )
    write_text(file, json.dumps(identity, indent=1))


def _point_latest(root: Path, folder: Path) -> None:
    from audit.result import write_text

    write_text(root.parent / "latest", str(folder.resolve()) + "\n")
