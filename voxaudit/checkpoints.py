"""``run --checkpoints``: every generator kept during a training is sampled and audited."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import BadInput
from audit.progress import is_first_process, say
from voxaudit.samples import Real, sample_and_score

if TYPE_CHECKING:
    from audit.config import Config, GeneratorSpec


def score_kept(config: "Config", spec: "GeneratorSpec", folder: Path, real: Real) -> Path | None:
    """Sample and audit what a training kept, and write the run's ``curve.csv``.

    Every moment is sampled with the run's number and seed, so that only the weights differ.

    Args:
        config: Of the run.
        spec: The generator.
        folder: Its run folder.
        real: The real cohorts.

    Returns:
        The curve, or None for a generator that is not trained here and in all processes of
        ``torchrun`` but the first, which writes it.

    Raises:
        BadInput: The model kept no generators.
    """
    from audit.ledger import open_ledger
    from audit.over_training import CURVE, FOLDER, Moment, write_curve
    from audit.result import load_result
    from generators.kept import kept_generators
    from generators.library import load

    if not _trains(spec):
        return None
    asked = spec.model_copy(update={"only": CURVE})
    runs = []
    for place, kept in kept_generators(_model(spec, folder)).items():
        say(f"checkpoint {place.name}")
        target = folder / FOLDER / place.name
        with open_ledger(target, budget_kwh=config.carbon.max_kwh) as ledger:
            sample_and_score(
                config, asked, load(place), target, real=real, seed=config.seed, ledger=ledger
            )
        if not is_first_process():
            continue
        about = {"passes": kept.passes, "train_s": kept.train_s}
        moment = Moment(name=place.name, step=kept.step, about=about)
        runs.append((moment, load_result(target)))
    return write_curve(runs, folder) if runs else None


def refuse_unkept(spec: "GeneratorSpec") -> None:
    """Say before a training, not after it, that nothing would be kept.

    Raises:
        BadInput: The recipe keeps no generators.
    """
    from generators.choose import choose

    if spec.path is not None or not _trains(spec):
        return
    generator: Any = choose(spec.kind, preset=spec.preset, params=spec.params)
    stages = (generator.recipe.denoiser, generator.recipe.adapter)
    if not any(stage.keep_every for stage in stages if stage is not None):
        raise BadInput(
            f"'{spec.id}' keeps no generators of its training",
            "keep_every in its params",
            "Set params: {denoiser: {keep_every: 500}}",
        )


def _trains(spec: "GeneratorSpec") -> bool:
    from generators.choose import generator_class
    from generators.latent_generator import LatentGenerator

    made = generator_class(spec.kind)
    return isinstance(made, type) and issubclass(made, LatentGenerator)


def _model(spec: "GeneratorSpec", folder: Path) -> Path:
    return Path(spec.path) if spec.path is not None else folder / "model"
