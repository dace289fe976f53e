"""The same generator, sampled with other seeds and audited the same way.

What differs between such runs is what a number does when nothing changed: replicates of a candidate
make a comparison sharper, and ten or more of them calibrate its margin (A/A runs).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from audit.gates.replicates import FOLDER
from audit.progress import track
from voxaudit.samples import Real, sample_and_score

if TYPE_CHECKING:
    from audit.config import Config, GeneratorSpec
    from generators.protocol import VolumeGenerator


def replicate(
    config: "Config",
    spec: "GeneratorSpec",
    generator: "VolumeGenerator",
    folder: Path,
    count: int,
    *,
    real: Real,
) -> list[Path]:
    """Make and audit replicates under a run folder; finished ones are kept.

    Args:
        config: The run's configuration; replicate k samples with its seed plus k.
        spec: Which generator.
        generator: The same, fitted.
        folder: Run folder of the generator.
        count: How many, beside the run itself.
        real: The real cohorts.

    Returns:
        A run folder each.

    Raises:
        BadInput: Earlier replicates there are of another generator or other settings.
    """
    from audit.ledger import open_ledger

    places = [folder / FOLDER / f"seed-{config.seed + k}" for k in range(1, count + 1)]
    for k, place in enumerate(track(places, f"{spec.id}: runs with other seeds"), start=1):
        with open_ledger(place, budget_kwh=config.carbon.max_kwh) as ledger:
            sample_and_score(
                config, spec, generator, place, real=real, seed=config.seed + k, ledger=ledger
            )
    return places
