"""The study of copying at its smallest scale: what raises and what lowers it."""

from pathlib import Path

import numpy as np
import pytest

from generators.choose import choose
from voxaudit.study import SMALL, augmented, slices, study

COPIES, ATTACK = "memorization.copy_rate", "memorization.membership[loss]"


def test_slices_of_other_seeds_are_other_patients() -> None:
    one, other = slices(3, seed=0), slices(3, seed=1, role="holdout")
    assert one[0].image.array.shape == (1, 1, 1, 32, 32)
    assert not set(one.subjects) & set(other.subjects)
    assert slices(2, seed=0).hash == one.subset(range(2)).hash


def test_views_are_of_the_same_patient_and_in_the_plane() -> None:
    patients = slices(2, seed=0)
    views = augmented(patients, 4, seed=1)
    assert len(views) == 8
    assert set(views.subjects) == set(patients.subjects)
    assert len(set(views.case_hashes)) == 8
    for case in views:
        assert case.image.array.shape == (1, 1, 1, 32, 32)
        assert np.isfinite(case.image.array).all()


def test_the_studys_model_works_in_the_plane() -> None:
    generator = choose("ldm", preset="ldm-tiny", params=dict(SMALL))
    generator.build(slices(2, seed=0))
    assert generator.grid.preprocessing.shape == (1, 1, 32, 32)
    assert generator.latent_shape == (4, 16, 16)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_over_training_raises_copying_and_augmentation_and_more_patients_lower_it(
    tmp_path: Path,
) -> None:
    table = study(tmp_path)
    print(table[["setting", "step", "metric", "value", "low", "high", "reason"]].to_string())
    copies = table[table.metric == COPIES].set_index(["setting", "step"])
    few = copies.loc["few patients"]
    first, last = few.index.min(), few.index.max()
    assert few.value[last] > few.value[first] + 0.1
    assert few.low[last] > 0.02
    for remedy in ("augmentation", "more patients"):
        lowered = copies.loc[remedy]
        assert lowered.value[last] < few.value[last] - 0.1
        assert lowered.high[last] < few.high[last]
    attack = table[table.metric == ATTACK].set_index(["setting", "step"])
    assert attack.loc["more patients"].value[last] < attack.loc["few patients"].value[last] - 0.1
