"""Each tiny preset visibly learns: losses fall, and samples lie nearer to real cases than noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.cohort import Case, Cohort, cohort_of
from audit.extractors.intensity import intensity_features
from audit.phantoms import heart_cohort, thorax_cohort
from audit.preprocessing import Preprocessing
from audit.statistics.frechet import frechet
from generators.library import create
from generators.training.history import read_lines


def features(cases: list[Case], preprocessing: Preprocessing) -> np.ndarray:  # type: ignore[type-arg]
    return np.stack([intensity_features(preprocessing(case.image)) for case in cases])


def noise_like(cases: list[Case]) -> list[Case]:
    rng = np.random.default_rng(0)
    made = []
    for case in cases:
        image = case.image
        drawn = rng.permutation(image.array.ravel()).reshape(image.array.shape)
        made.append(replace(case, image=replace(image, array=drawn)))
    return made


def check_learning(preset: str, train: Cohort, holdout: list[Case], folder: Path) -> None:
    generator = create(preset)
    generator.fit(train, folder=folder, seed=0)
    for stage, name in (("stage1", "l1"), ("denoiser", "denoiser")):
        curve = [line[name] for line in read_lines(folder / stage / "history.jsonl")]
        assert np.mean(curve[-20:]) < 0.7 * np.mean(curve[:10])
    preprocessing = generator.grid.preprocessing  # type: ignore[attr-defined]
    made = features(list(generator.sample(len(holdout), seed=1)), preprocessing)
    real = features(holdout, preprocessing)
    noise = features(noise_like(holdout), preprocessing)
    center, spread = real.mean(0), real.std(0) + 1e-6
    made, real, noise = ((x - center) / spread for x in (made, real, noise))
    assert (
        frechet(real=real, synthetic=made).value < 0.5 * frechet(real=real, synthetic=noise).value
    )


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ldm-tiny", "voldit-tiny", "medlord-tiny"])
def test_a_tiny_preset_learns_thorax_ct(preset: str, tmp_path: Path) -> None:
    train = cohort_of("train", list(thorax_cohort(24, size=32)))
    holdout = list(thorax_cohort(16, role="holdout", seed=1, size=32))
    check_learning(preset, train, holdout, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ldm-tiny", "cardiodit-tiny"])
def test_a_tiny_preset_learns_cine_hearts(preset: str, tmp_path: Path) -> None:
    train = cohort_of("train", list(heart_cohort(24, size=32)))
    holdout = list(heart_cohort(16, role="holdout", seed=1, size=32))
    check_learning(preset, train, holdout, tmp_path)
