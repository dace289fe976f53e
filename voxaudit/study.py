"""What makes a generator copy its patients? The small LDM, trained in several ways and audited.

After Dar et al. 2024 (arXiv:2402.01054): longer training raises copying; augmentation and more
patients lower it. Here on single short-axis slices of phantom hearts, so that it runs in minutes:
there a small autoencoder keeps what sets a patient apart, without which no copy can be recognized.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from audit.cohort import Cohort, Role

SMALL: Mapping[str, Any] = {
    "model": {
        "spatial_dims": 2,
        "stage1": {"channels": [16, 32], "attention_levels": [False, False]},
        "unet": {"num_head_channels": 16},
    },
    "stage1": {"steps": 400, "batch_size": 4},
    "denoiser": {"steps": 1500, "keep_every": 500, "picture_every": 0},
    "tensorboard": False,
}
ENCODER_PATIENTS = 160  # of the copy encoder, in no other cohort
METRICS = ("memorization.membership", "memorization.copy_rate", "memorization.similarity_rate")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to train.

    Attributes:
        name: Of its folder.
        patients: Patients to train on: the first of the study's cohort.
        views: Volumes of each patient: itself, then mirrored and turned versions; 1 for none.
    """

    name: str
    patients: int
    views: int = 1


SETTINGS = (
    Setting(name="few patients", patients=8),
    Setting(name="augmentation", patients=8, views=8),
    Setting(name="more patients", patients=64),
)


def study(
    work: Path,
    *,
    settings: Sequence[Setting] = SETTINGS,
    recipe: Mapping[str, Any] = SMALL,
    samples: int = 32,
    held_out: int = 64,
    only: Sequence[str] = METRICS,
    seed: int = 0,
) -> "pd.DataFrame":
    """Train and audit each setting over its training; a repeated call resumes.

    Autoencoder and denoiser of a setting see its patients only. The copy encoder learns from
    patients that no setting and no hold-out has, and serves all: a handful would not teach one.
    Audits see the noise prediction of a generator and not its autoencoder: else each setting would
    have a copy encoder of its own, and rates be compared that were measured by different ones.

    Args:
        work: Where everything is written.
        settings: Ways to train.
        recipe: Changes to ``ldm-tiny``; keeps generators by ``keep_every``.
        samples: Volumes of each moment.
        held_out: Patients that no setting sees.
        only: Metrics of the curves.
        seed: Of phantoms, training, sampling and audit.

    Returns:
        Rows of every ``curve.csv`` (see ``audit.over_training``), with their ``setting``.
    """
    import pandas as pd

    everyone = slices(max(s.patients for s in settings), seed=3 * seed)
    holdout = slices(held_out, seed=3 * seed + 1, role="holdout")
    others = slices(ENCODER_PATIENTS, seed=3 * seed + 2)
    shared = {
        "holdout": holdout,
        "seed": seed,
        "weights": {"ssl3d": _copy_encoder(others, holdout, work / "encoder", seed)},
        "extractors": ("ssl3d",),
    }
    tables = []
    for setting in settings:
        train = everyone.subset(range(setting.patients))
        table = _one(setting, train, work / setting.name, recipe, samples, only, shared)
        tables.append(table.assign(setting=setting.name))
    return pd.concat(tables, ignore_index=True)


def slices(n: int, *, seed: int, role: "Role" = "train") -> "Cohort":
    """Middle short-axis slices of phantom hearts at end-diastole: n volumes of 1 x 32 x 32."""
    from audit.cohort import cohort_of
    from audit.phantoms import heart_cohort

    cases = []
    for case in heart_cohort(n, role=role, seed=seed, frames=1):
        middle = case.image.array.shape[2] // 2
        array = case.image.array[:, :, middle : middle + 1].copy()
        cases.append(replace(case, image=replace(case.image, array=array), labels=None))
    return cohort_of(role, cases)


def augmented(cohort: "Cohort", views: int, *, seed: int = 0) -> "Cohort":
    """Each case with further views of it, of the same subject: mirrored and turned by up to 10°."""
    import numpy as np
    import torch

    from audit.cohort import cohort_of
    from generators.recipe import Data
    from generators.training.augment import augment

    how = Data(rotate_degrees=10, rotate_probability=1.0, flip_axis="x", flip_probability=0.5)
    cases = []
    for index, case in enumerate(cohort):
        cases.append(case)
        for view in range(1, views):
            rng = np.random.default_rng([seed, index, view])
            array = augment(torch.from_numpy(case.image.array), how, rng).numpy()
            image = replace(case.image, array=array)
            cases.append(replace(case, id=f"{case.id}-{view}", image=image, labels=None))
    return cohort_of("train", cases)


def _one(
    setting: Setting,
    train: "Cohort",
    folder: Path,
    recipe: Mapping[str, Any],
    samples: int,
    only: Sequence[str],
    shared: Mapping[str, Any],
) -> "pd.DataFrame":
    import pandas as pd

    import audit
    from audit.over_training import FOLDER, Moment, write_curve
    from generators.choose import choose
    from generators.kept import kept_generators
    from generators.library import load
    from generators.sampling import sample_to_folder

    seed = shared["seed"]
    generator = choose("ldm", preset="ldm-tiny", params=dict(recipe))
    generator.fit(augmented(train, setting.views, seed=seed), folder=folder / "model", seed=seed)
    runs = []
    for place, kept in kept_generators(folder / "model").items():
        target = folder / FOLDER / place.name
        at_that_time: Any = load(place)
        made = sample_to_folder(at_that_time, samples, target / "synthetic", seed=seed)
        result = audit.score(
            train=train,
            synthetic=made,
            generator=SimpleNamespace(
                identity=at_that_time.identity, membership_target=at_that_time.membership_target
            ),
            only=only,
            out=target,
            **shared,
        )
        runs.append(
            (Moment(name=place.name, step=kept.step, about={"passes": kept.passes}), result)
        )
    return pd.read_csv(write_curve(runs, folder))


def _copy_encoder(train: "Cohort", holdout: "Cohort", folder: Path, seed: int) -> Path:
    """Weights of a copy encoder that is trained once, in a store of its own."""
    from audit.cache import Cache
    from audit.scoring import build_comparison

    cache = Cache(folder)
    build_comparison(train=train, holdout=holdout, synthetic=train, seed=seed, cache=cache).encoder(
        "ssl3d"
    )
    return next(folder.rglob("*.safetensors"))
