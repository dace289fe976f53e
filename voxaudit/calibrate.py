"""``voxaudit baseline calibrate``: measure the noise of a gate, from A/A runs made or given."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audit.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from audit.config import Config, GeneratorSpec


def calibrate_command(
    runs: list[Path] = typer.Argument(None, help="Ten or more runs that differ in seed only."),
    file: Path = typer.Option(
        Path("baselines/baseline.json"), help="Accepted baseline to complete."
    ),
    config: Path | None = typer.Option(
        None, "-c", "--config", help="Make the runs: sample its trained generator again and again."
    ),
    replicates: int = typer.Option(20, min=10, help="How many runs to make, with --config."),
    generator: str = typer.Option("", help="Which one, where the configuration names several."),
    profile: str = typer.Option(None, help="Profile of the configuration."),
    change: list[str] = typer.Option([], "--set", help="a.b=c, as of the accepted run; repeat."),
) -> None:
    """Measure the noise between A/A runs; ``margin: auto`` is three of its standard deviations.

    Repeat the command to continue: runs that are finished are kept.
    """
    from audit import baseline
    from audit.config import read_config
    from audit.result import load_result
    from audit.run_path import find_run

    accepted = baseline.read_baseline(file)
    if config is None and not runs:
        raise BadInput("no runs were given", "ten or more", "-c audit.yaml makes them")
    if config is not None:
        settings = read_config(config, profile=profile, changes=tuple(change))
        runs = [*(runs or []), *make_aa_runs(settings, generator, replicates)]
    done = baseline.calibrate(accepted, [load_result(find_run(run)) for run in runs])
    baseline.write_baseline(done, file)
    count = sum(m.sd_aa is not None for m in done.metrics.values())
    print(f"{count} of {len(done.metrics)} metrics are calibrated in {file}, from {len(runs)} runs")


def make_aa_runs(config: "Config", generator: str, count: int) -> list[Path]:
    """Sample the trained generator of a finished run with further seeds, and audit each time.

    Args:
        config: The configuration of the finished run.
        generator: Id of the generator; empty where only one can be sampled.
        count: How many runs.

    Returns:
        Their folders.

    Raises:
        BadInput: No such generator, only folders of volumes, or the run is not finished.
    """
    from audit.ledger import Ledger
    from voxaudit.replicates import replicate
    from voxaudit.run import real_cohorts
    from voxaudit.samples import trained

    spec = _chosen(config, generator)
    folder = config.folder / spec.id
    if not (folder / "result.json").is_file():
        raise BadInput(
            f"'{spec.id}' has no finished run", "the run that was accepted", "voxaudit run first"
        )
    real = real_cohorts(config)
    fitted = trained(config, spec, folder, real.train, Ledger())
    assert fitted is not None  # the choice left folders of volumes out
    return replicate(config, spec, fitted, folder, count, real=real)


def _chosen(config: "Config", name: str) -> "GeneratorSpec":
    specs = {spec.id: spec for spec in config.generators if spec.kind != "folder"}
    if not specs:
        raise BadInput(
            "the configuration names folders of volumes only",
            "a generator to sample again",
            "Sample it with ten other seeds, score each, and give the runs",
        )
    if name and name not in specs:
        raise BadInput(f"no generator '{name}' to sample again", did_you_mean(name, specs))
    if not name and len(specs) > 1:
        raise BadInput(
            f"the configuration names {', '.join(specs)}", "one of them", "Add --generator ID"
        )
    return specs[name] if name else next(iter(specs.values()))
