"""A run: train, sample, score and report every generator of a configuration."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import BadInput
from audit.gates.replicates import list_replicates
from audit.progress import is_first_process, say
from voxaudit.first_process import wait_until
from voxaudit.replicates import replicate
from voxaudit.samples import DEFAULT_N, Real, sample_and_score, trained

if TYPE_CHECKING:
    from audit.cohort import Cohort
    from audit.config import Config, GeneratorSpec


def run_all(config: "Config", *, report: bool = True, checkpoints: bool = False) -> list[Path]:
    """Train, sample, score and report every generator of a configuration.

    Calling it again continues: what is trained, sampled or measured on the same inputs is kept.
    Under ``torchrun`` all processes train, sample and embed; the first one writes and reports.

    Args:
        config: A validated audit.yaml.
        report: Whether to render each run at its end.
        checkpoints: Whether to audit the generators kept during each training too.

    Returns:
        Run folder of each generator, in order.

    Raises:
        BadInput: Data cannot be read, the folder holds a run of another configuration, or a
            training keeps no generators although ``checkpoints`` asks for them.
    """
    from audit.footprint import read_records
    from audit.ledger import open_ledger
    from audit.throughput import remember
    from reports.html import write_report
    from voxaudit.checkpoints import refuse_unkept, score_kept

    if checkpoints:
        for spec in config.generators:
            refuse_unkept(spec)
    root = config.folder
    _claim(root, config)
    real = real_cohorts(config)
    folders = []
    for position, spec in enumerate(config.generators, start=1):
        say(f"({position}/{len(config.generators)}) {spec.id}")
        folder = root / spec.id
        _run_one(config, spec, folder, real)
        if checkpoints:
            score_kept(config, spec, folder, real)
        folders.append(folder)
        if not is_first_process():
            continue
        if report:
            with open_ledger(folder) as ledger, ledger.phase("audit.report"):
                write_report(folder, images=config.report.images)
        remember(spec.kind, spec.preset, spec.n or DEFAULT_N, read_records(folder), folder)
    if is_first_process():
        _point_latest(root, folders[0])
    return folders


def _run_one(config: "Config", spec: "GeneratorSpec", folder: Path, real: Real) -> None:
    from audit.ledger import open_ledger

    with open_ledger(folder, budget_kwh=config.carbon.max_kwh) as ledger:
        generator = trained(config, spec, folder, real.train, ledger)
        sample_and_score(
            config, spec, generator, folder, real=real, seed=config.seed, ledger=ledger
        )
    if generator is not None:
        made = replicate(config, spec, generator, folder, config.replicates - 1, real=real)
        list_replicates(folder, made)


def real_cohorts(config: "Config") -> Real:
    """Training and hold-out cohorts, and the masks to sample for."""
    from audit.scoring import open_cohort

    data = config.data
    if data.phantom is not None:
        train, holdout = _phantoms(config)
    else:
        how: dict[str, Any] = {"skip_unusable": data.skip_unusable, "labels": data.labels}
        train = open_cohort(Path(str(data.train)), "train", **how)
        holdout = open_cohort(Path(str(data.holdout)), "holdout", **how)
    conditions: Cohort | None = None
    if data.conditions is not None:
        conditions = open_cohort(Path(data.conditions), "conditions", labels=data.labels)
    elif holdout.labeled:
        conditions = open_cohort(holdout, "conditions")
    return Real(train=train, holdout=holdout, conditions=conditions)


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
        manifest = folder / "cohort.csv"  # written last
        if not is_first_process():
            wait_until(manifest.is_file, f"the phantom {role} cohort")
        elif not manifest.is_file():
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
