"""Latents on disk, the scale factor, and what the first stage reports."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from micro import micro_recipe

from audit.cohort import Cohort, cohort_of
from audit.ledger import Ledger
from audit.phantoms import thorax_cohort
from generators.models.ldm import LDM
from generators.models.voldit import VolDiT
from generators.training import latents, stage1
from generators.training.course import Course
from generators.training.history import read_lines
from generators.training.latents import encode_latents, fit_scale_factor, read_latent
from generators.training.stage1 import codebook_report


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return cohort_of("train", list(thorax_cohort(4, size=32)))


def course_of(generator: Any, cohort: Cohort, folder: Path) -> Course:
    generator.build(cohort)
    return Course(
        recipe=generator.recipe,
        family=generator.family,
        model=generator.model,
        cohort=cohort,
        grid=generator.grid,
        folder=folder,
        seed=0,
        ledger=Ledger(),
        cpu=True,
    )


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Places of the cases that were encoded, in order."""
    seen: list[int] = []
    whole = latents._encode

    def watch(course: Course, index: int, device: torch.device) -> Any:
        if index in seen:
            raise KeyboardInterrupt  # a case that is encoded again: the run is cut off there
        seen.append(index)
        return whole(course, index, device)

    monkeypatch.setattr(latents, "_encode", watch)
    return seen


def test_an_interrupted_encoding_continues_and_content_decides(
    cohort: Cohort, tmp_path: Path, encoded: list[int]
) -> None:
    course = course_of(LDM(micro_recipe("ldm")), cohort, tmp_path)
    encoded.append(2)
    with pytest.raises(KeyboardInterrupt):
        encode_latents(course)
    assert encoded == [2, 0, 1]
    encoded.remove(2)
    keys = encode_latents(course)
    assert encoded == [0, 1, 2, 3]
    turned = cohort.subset([3, 2, 1, 0])
    again = course_of(LDM(micro_recipe("ldm")), turned, tmp_path)
    assert encode_latents(again) == keys[::-1]  # nothing is encoded: the fixture would raise
    encoded.clear()
    with torch.no_grad():
        next(iter(course.model.stage1.parameters())).add_(0.1)
    assert not set(encode_latents(course)) & set(keys)
    assert encoded == [0, 1, 2, 3]


def test_the_scale_factor_is_one_over_the_deviation_of_all_latents(
    cohort: Cohort, tmp_path: Path
) -> None:
    course = course_of(LDM(micro_recipe("ldm")), cohort, tmp_path)
    keys = encode_latents(course)
    values = np.concatenate([read_latent(course, key)["latent"].ravel() for key in keys])
    expected = 1 / values.astype(np.float64).std()
    assert fit_scale_factor(course, keys) == pytest.approx(expected, rel=1e-9)
    assert course.model.scale_factor == pytest.approx(expected, rel=1e-9)


def test_dead_codes_and_perplexity_are_those_that_were_planted(
    cohort: Cohort, tmp_path: Path
) -> None:
    course = course_of(VolDiT(micro_recipe("voldit", adapter=None)), cohort, tmp_path)
    sizes = course.model.stage1.codebook.ema_cluster_size
    sizes.zero_()
    sizes[:16] = 3.0
    report = codebook_report(course.model.stage1)
    assert report == pytest.approx({"codes": 64, "dead": 48, "perplexity": 16}, rel=1e-5)


def test_without_a_perceptual_network_the_record_says_so(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage1, "load_perceptual", lambda _file: None)
    generator = LDM(micro_recipe("ldm", stage1={"perceptual_weight": 0.1}))
    generator.fit(cohort, folder=tmp_path, cpu=True)
    assert generator.record["perceptual"].startswith("off: no weights at hand")
    assert LDM.load(tmp_path).record["perceptual"] == generator.record["perceptual"]


def test_the_adversarial_loss_waits_for_its_warm_up(cohort: Cohort, tmp_path: Path) -> None:
    recipe = micro_recipe(
        "ldm",
        stage1={"steps": 6, "adversarial_weight": 0.1, "adversarial_warmup_epochs": 2,
                "discriminator_channels": 4, "discriminator_layers": 1},
    )  # fmt: skip
    LDM(recipe).fit(cohort, folder=tmp_path, cpu=True)
    lines = read_lines(tmp_path / "stage1" / "history.jsonl")
    judged = [line["discriminator"] for line in lines]
    warmup = 2 * 4 // 2  # epochs, cases, batch
    assert judged[:warmup] == [0.0] * warmup
    assert all(value > 0 for value in judged[warmup:])
    assert all(a != b for a, b in itertools.pairwise(line["stage1"] for line in lines))
