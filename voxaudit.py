"""The command ``voxaudit``: mounts the commands of the packages; ``run`` and ``demo`` span them."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from audit.cli import guarded, mount, print_table
from audit.errors import BadInput
from audit.progress import say

if TYPE_CHECKING:
    from audit.cohort import Cohort
    from audit.config import Config, GeneratorSpec
    from audit.ledger import Ledger
    from audit.result import AuditResult
    from generators.protocol import VolumeGenerator


DEFAULT_N = 32
DEMO_N = 24


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
            samples = _folder(spec)
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


def _folder(spec: "GeneratorSpec") -> "Cohort":
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


def run_demo(out: Path) -> int:
    """Train, sample and audit on both phantom populations, and put the audit itself to the test.

    Beside the trained generator stand ``replay``, which returns its training set and must fail,
    and ``honest``, fresh phantoms that copy nothing and must pass.

    Returns:
        0 if both controls came out as they must, else 4.
    """
    from audit.config import validate
    from audit.gate import judge, record
    from audit.result import load_result
    from reports.html import write_report

    rows, right = [], True
    for kind in ("thorax", "heart"):
        config = validate(_demo_config(kind, out))
        _write_honest(config)
        for folder in run_all(config, report=False):
            result = load_result(folder)
            decision = judge(result)
            record(decision, result, folder)
            write_report(folder)
            copies = _copy_rate(result)
            rows.append({"run": str(folder), "copy rate": copies, "gate": decision.headline})
            wanted = {"replay": 1, "honest": 0}.get(folder.name)
            right &= wanted is None or decision.exit_code == wanted
    print()
    print_table(rows, ["run", "copy rate", "gate"])
    shown = out / "thorax" / "ldm"
    print(
        "\nreplay returns its training set and must fail; honest copies nothing and must pass: "
        + ("so it is." if right else "NOT SO. Please report this.")
    )
    print(
        f"\nOpen the report:  {(shown / 'report.html').resolve()}\n\nNext:\n"
        f"  voxaudit gate {shown}\n"
        f"  voxaudit footprint {shown} --zone DEU\n"
        f"  voxaudit compare {shown} {out / 'thorax' / 'replay'}\n"
        "  voxaudit init            # an audit of your own: audit.yaml, gates.yaml, a workflow"
    )
    return 0 if right else 4


def _demo_config(kind: str, out: Path) -> dict[str, Any]:
    honest = str((out / kind / "data" / "honest").resolve())
    controls = ["memorization.copy_rate", "fidelity.kernel_distance", "diversity.recall"]
    preset = "ldm-demo" if kind == "thorax" else "ldm-demo-heart"
    generators: list[dict[str, Any]] = [
        {
            "id": "ldm",
            "kind": "ldm",
            "preset": preset,
            "n": DEMO_N,
            "conditional": kind == "thorax",
        },
        {"id": "replay", "kind": "replay", "n": DEMO_N, "only": controls},
        {"id": "honest", "kind": "folder", "path": honest, "only": controls},
    ]
    return {
        "name": kind,
        "out": str(out / kind),
        "data": {"phantom": {"kind": kind, "train": 32, "holdout": DEMO_N}},
        "generators": generators,
        "metrics": {"options": {"encoder_seeds": 1, "segmenter_steps": 120}},
        "carbon": {"zone": "DEU"},
    }


def _write_honest(config: "Config") -> None:
    from audit.cohort import write_cohort
    from audit.phantoms import heart_cohort, thorax_cohort

    phantom = config.data.phantom
    assert phantom is not None
    folder = config.folder / "data" / "honest"
    if not (folder / "cohort.csv").is_file():
        make = thorax_cohort if phantom.kind == "thorax" else heart_cohort
        write_cohort(make(DEMO_N, role="synthetic", seed=1000, size=phantom.size), folder)


def _copy_rate(result: "AuditResult") -> str:
    try:
        finding = result["memorization.copy_rate"]
    except KeyError:
        return "–"
    if finding.value is None or finding.low is None or finding.high is None:
        return "not computable"
    return f"{finding.value:.2f} [{finding.low:.2f}, {finding.high:.2f}]"


def _plan(config: "Config") -> list[dict[str, Any]]:
    """What a run would do and, where this machine has done it before, what that took.

    Raises:
        BadInput: A generator, preset or grid zone does not exist.
    """
    from audit.carbon import emissions_g, find_intensity
    from audit.throughput import predict
    from generators.choose import choose

    grid = find_intensity(config.carbon.zone) if config.carbon.zone else None
    rows = []
    for spec in config.generators:
        if spec.path is None:
            choose(spec.kind, preset=spec.preset, params=spec.params)
        n = spec.n or DEFAULT_N
        steps = ["train"] if spec.path is None else []
        steps += ["sample"] if spec.kind != "folder" else []
        for step in (*steps, "score", "report"):
            row = predict(spec.kind, spec.preset, step, n)
            kwh = row["energy_kwh"]
            row["emissions_g"] = None
            if grid is not None and kwh is not None:
                row["emissions_g"] = emissions_g(kwh, grid, pue=config.carbon.pue)
            rows.append(
                {
                    "generator": spec.id,
                    "step": step,
                    "work": f"{n} volumes" if step == "sample" else "",
                    "done": _is_done(config.folder / spec.id, step, n),
                    **row,
                }
            )
    return rows


def _power(config: "Config", gates: Path) -> list[str]:
    """What the gates beside a configuration cannot decide with its number of volumes."""
    from audit.gate import power_notes
    from audit.gates_file import read_gates

    if not gates.is_file():
        return []
    file = read_gates(gates)
    return [
        f"{spec.id}: {note}"
        for spec in config.generators
        for note in power_notes(file, _volumes(spec))
    ]


def _volumes(spec: "GeneratorSpec") -> int:
    """Synthetic volumes that a run of this generator will judge."""
    if spec.n is None and spec.kind == "folder":
        return len(_folder(spec))
    return spec.n or DEFAULT_N


def _is_done(folder: Path, step: str, n: int) -> str:
    made = len(list((folder / "synthetic").glob("*.nii.gz")))
    return {
        "train": "yes" if (folder / "model" / "generator.json").exists() else "no",
        "sample": f"{made}/{n}",
        "score": "yes" if (folder / "cases.csv").exists() else "no",
        "report": "yes" if (folder / "report.html").exists() else "no",
    }[step]


def build_app() -> typer.Typer:
    """All commands in one Typer application."""
    app = typer.Typer(
        name="voxaudit",
        help="Evaluate and audit generators of 3D and 4D medical images.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for package in ("audit.commands", "generators.commands", "reports.commands"):
        mount(app, package)
    app.command("run")(_run_command)
    app.command("demo")(_demo_command)
    return app


def _run_command(
    config: Path = typer.Option(Path("audit.yaml"), "-c", "--config", help="Configuration."),
    profile: str = typer.Option(None, help="Profile of the file, such as smoke."),
    change: list[str] = typer.Option([], "--set", help="a.b=value; repeat."),
    max_kwh: float = typer.Option(None, help="Stop cleanly once this much energy is spent."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan and do nothing."),
) -> None:
    """Train, sample, score and report; repeat the command to resume."""
    from audit.config import read_config

    if max_kwh is not None:
        change = [*change, f"carbon.max_kwh={max_kwh}"]
    settings = read_config(config, profile=profile, changes=tuple(change))
    if dry_run:
        rows = _plan(settings)
        columns = ["generator", "step", "work", "done", "time_s", "disk_mb", "energy_kwh"]
        print_table(rows, [*columns, "emissions_g", "basis"])
        for note in _power(settings, config.parent / "gates.yaml"):
            print(note)
        return
    for folder in run_all(settings):
        print(f"report: {folder / 'report.html'}    gate: voxaudit gate {folder}")


def _demo_command(
    out: Path = typer.Option(Path("runs/demo"), help="Where the demo's runs go."),
) -> None:
    """Train, sample and audit on phantoms; show that copying fails the gate. No data needed."""
    raise typer.Exit(run_demo(out))


def main() -> None:
    """Entry point of the console script."""
    # Before torch and faiss are imported: their two OpenMP runtimes would spin against each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Newer Typer ships its own copy of click: find the base of its usage errors by name.
    usage_error: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

    def command() -> int:
        try:
            outcome = build_app()(standalone_mode=False)
        except typer.Exit as exit_:
            return exit_.exit_code
        except typer.Abort:
            return 130
        except usage_error as error:
            text = " ".join(error.format_message().split())
            sys.stderr.write(f"voxaudit: {text} See `voxaudit --help`.\n")
            return 2
        return outcome if isinstance(outcome, int) else 0

    sys.exit(guarded(command))


if __name__ == "__main__":
    main()
