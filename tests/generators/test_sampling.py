"""Samples on disk: resumable, shardable, with geometry and conditions."""

import json
from pathlib import Path

import numpy as np
import pytest
from micro import micro_recipe

from audit.cohort import Cohort, cohort_of, read_cohort
from audit.errors import BadInput
from audit.ledger import Ledger
from audit.phantoms import heart_cohort
from generators.models.ldm import LDM
from generators.sampling import sample_to_folder


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return cohort_of("train", list(heart_cohort(3, size=32, frames=4)))


@pytest.fixture(scope="module")
def generator(cohort: Cohort) -> LDM:
    made = LDM(micro_recipe("ldm"))
    made.fit(cohort, structures=("lv", "myocardium", "rv"), cpu=True)
    return made


def images(folder: Path) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [case.image.array for case in read_cohort(folder, role="synthetic")]


def test_samples_read_back_with_geometry_period_and_condition(
    generator: LDM, cohort: Cohort, tmp_path: Path
) -> None:
    ledger = Ledger()
    sample_to_folder(generator, 2, tmp_path, seed=1, conditions=cohort, ledger=ledger)
    written = read_cohort(tmp_path, role="synthetic")
    direct = list(generator.sample(2, seed=1, conditions=cohort))
    assert written.conditions == cohort.ids[:2]
    for stored, case in zip(written, direct, strict=True):
        np.testing.assert_allclose(stored.image.array, case.image.array, rtol=1e-5, atol=1e-3)
        assert stored.image.spacing_mm == pytest.approx(case.image.spacing_mm)
        assert stored.image.frame_ms == pytest.approx(case.image.frame_ms, rel=1e-4)
    phases = {record.phase: record.work for record in ledger.records()}
    assert phases["sampling"]["denoiser_calls"] == 6
    assert phases["decoding"]["volumes"] == 2


def test_an_interrupted_run_makes_only_what_is_missing(
    generator: LDM, cohort: Cohort, tmp_path: Path
) -> None:
    sample_to_folder(generator, 3, tmp_path, seed=1, conditions=cohort)
    before = images(tmp_path)
    kept = (tmp_path / "00000.nii.gz").stat().st_mtime_ns
    (tmp_path / ".samples" / "00001.json").unlink()
    (tmp_path / "cohort.csv").unlink()
    ledger = Ledger()
    sample_to_folder(generator, 3, tmp_path, seed=1, conditions=cohort, ledger=ledger)
    assert (tmp_path / "00000.nii.gz").stat().st_mtime_ns == kept
    np.testing.assert_allclose(images(tmp_path), before, atol=1e-3)
    assert {r.phase: r.work["volumes"] for r in ledger.records()}["decoding"] == 1


def test_shards_give_the_volumes_of_one_process(
    generator: LDM, cohort: Cohort, tmp_path: Path
) -> None:
    sample_to_folder(generator, 3, tmp_path / "one", seed=1, conditions=cohort)
    for rank in (1, 0):
        sample_to_folder(generator, 3, tmp_path / "two", seed=1, conditions=cohort, shard=(rank, 2))
    one, two = images(tmp_path / "one"), images(tmp_path / "two")
    np.testing.assert_allclose(two, one, atol=1e-4 * float(np.ptp(one)))


def test_a_folder_of_other_samples_is_refused(
    generator: LDM, cohort: Cohort, tmp_path: Path
) -> None:
    sample_to_folder(generator, 1, tmp_path, seed=1, conditions=cohort)
    with pytest.raises(BadInput, match="samples of another generator, seed"):
        sample_to_folder(generator, 1, tmp_path, seed=2, conditions=cohort)


def test_a_row_stands_for_a_complete_sample(generator: LDM, cohort: Cohort, tmp_path: Path) -> None:
    sample_to_folder(generator, 1, tmp_path, seed=1, conditions=cohort)
    row = json.loads((tmp_path / ".samples" / "00000.json").read_text())
    assert (tmp_path / row["image"]).is_file()


def test_samplers_and_their_misspelling(generator: LDM, cohort: Cohort) -> None:
    for sampler in ("ddpm", "ddim", "dpm-solver++"):
        cases = list(generator.sample(1, seed=1, conditions=cohort, sampler=sampler, steps=2))
        assert np.isfinite(cases[0].image.array).all()
    with pytest.raises(BadInput, match="did you mean 'ddim'"):
        list(generator.sample(1, seed=1, conditions=cohort, sampler="dimm"))
    with pytest.raises(BadInput, match="did you mean 'steps'"):
        generator.sample(1, seed=1, conditions=cohort, step=3)
