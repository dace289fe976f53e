"""Each tiny preset visibly learns: losses fall, and samples lie nearer to real cases than noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import audit
from audit.cache import Cache
from audit.cohort import Cohort, cohort_of
from audit.phantoms import heart_cohort, thorax_cohort
from generators.library import create
from generators.training.history import read_lines

METRICS = ("fidelity.frechet_distance", "fidelity.kernel_distance")


def noise_like(cohort: Cohort) -> Cohort:
    """The hold-out's voxels in another order: its histogram without its anatomy."""
    rng = np.random.default_rng(0)
    made = []
    for case in cohort:
        image = case.image
        drawn = rng.permutation(image.array.ravel()).reshape(image.array.shape)
        made.append(replace(case, image=replace(image, array=drawn), labels=None))
    return cohort_of("synthetic", made)


def check_learning(preset: str, train: Cohort, holdout: Cohort, folder: Path) -> None:
    generator = create(preset)
    generator.fit(train, folder=folder / "model", seed=0)
    for stage, name in (("stage1", "l1"), ("denoiser", "denoiser")):
        curve = [line[name] for line in read_lines(folder / "model" / stage / "history.jsonl")]
        assert np.mean(curve[-20:]) < 0.7 * np.mean(curve[:10])
    samples = cohort_of("synthetic", list(generator.sample(len(holdout), seed=1)))
    found = [
        audit.score(
            train=train,
            holdout=holdout,
            synthetic=made,
            only=METRICS,
            extractors=("intensity",),
            cache=Cache(folder / "cache"),
        )
        for made in (samples, noise_like(holdout))
    ]
    for metric in METRICS:
        ours, noise = (result[f"{metric}[intensity]"] for result in found)
        assert ours.value < 0.5 * noise.value, metric


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ldm-tiny", "voldit-tiny", "medlord-tiny"])
def test_a_tiny_preset_learns_thorax_ct(preset: str, tmp_path: Path) -> None:
    train = cohort_of("train", list(thorax_cohort(24, size=32)))
    holdout = cohort_of("holdout", list(thorax_cohort(16, role="holdout", seed=1, size=32)))
    check_learning(preset, train, holdout, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ldm-tiny", "cardiodit-tiny"])
def test_a_tiny_preset_learns_cine_hearts(preset: str, tmp_path: Path) -> None:
    train = cohort_of("train", list(heart_cohort(24, size=32)))
    holdout = cohort_of("holdout", list(heart_cohort(16, role="holdout", seed=1, size=32)))
    check_learning(preset, train, holdout, tmp_path)
