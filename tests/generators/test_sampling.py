"""Samples on disk: resumable, shardable, with geometry and conditions."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from micro import micro_recipe

from audit.cohort import Cohort, cohort_of, read_cohort
from audit.errors import BadInput
from audit.ledger import Ledger
from audit.phantoms import heart_cohort
from audit.pseudonym import pseudonym
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
    assert written.conditions == tuple(pseudonym(i) for i in cohort.ids[:2])
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
    np.testing.assert_allclose(images(tmp_path), before, rtol=1e-5, atol=1e-3)
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


def test_a_refused_call_does_not_claim_the_folder(
    generator: LDM, cohort: Cohort, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="got no conditions"):
        sample_to_folder(generator, 1, tmp_path, seed=1)
    sample_to_folder(generator, 1, tmp_path, seed=1, conditions=cohort)
    assert len(images(tmp_path)) == 1


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


def test_a_slow_disk_does_not_hold_up_the_next_batch(
    generator: LDM, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from generators import drawing, sampling

    written, denoised = threading.Event(), threading.Event()
    batches = []
    latents, write_volume = drawing._latents, sampling.write_volume

    def denoise(*args: Any) -> Any:
        batches.append(written.is_set())
        if len(batches) == 2:
            denoised.set()
        return latents(*args)

    def write(*args: Any) -> None:
        assert denoised.wait(60)  # the first file waits for the second batch
        write_volume(*args)
        written.set()

    monkeypatch.setattr(drawing, "_latents", denoise)
    monkeypatch.setattr(sampling, "write_volume", write)
    sample_to_folder(generator, 2, tmp_path, seed=1, conditions=cohort, batch_size=1)
    assert batches == [False, False]
    assert len(images(tmp_path)) == 2


def test_batch_size_and_length_of_the_run_do_not_change_a_sample(
    generator: LDM, cohort: Cohort
) -> None:
    given: dict[str, Any] = {"seed": 1, "conditions": cohort, "sampler": "ddpm"}
    (alone,) = generator.sample(8, indices=[7], batch_size=1, **given)
    (of_many,) = generator.sample(800, indices=[7], batch_size=1, **given)
    together = list(generator.sample(8, indices=[5, 6, 7], batch_size=3, **given))[2]
    assert alone.id == of_many.id == together.id == "sample-00007"
    np.testing.assert_array_equal(of_many.image.array, alone.image.array)
    scale = float(np.ptp(alone.image.array))
    np.testing.assert_allclose(together.image.array, alone.image.array, atol=1e-4 * scale)


@pytest.mark.slow
def test_a_compiled_denoiser_draws_the_same_volume(
    generator: LDM, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    plain = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: plain(self, backend="eager"))
    (before,) = generator.sample(1, seed=1, conditions=cohort)
    (after,) = generator.sample(1, seed=1, conditions=cohort, compile=True)
    np.testing.assert_allclose(after.image.array, before.image.array, atol=1e-3)
    assert generator.model is not None
    generator.model.denoiser._compiled_call_impl = None
    torch._dynamo.reset()
