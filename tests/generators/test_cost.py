"""What drawing takes, counted: the same as torch counts on real tensors, calls and all."""

import pytest
import torch
from micro import micro_recipe
from torch.utils.flop_counter import FlopCounterMode

from audit.cohort import Cohort, cohort_of
from audit.ledger import Ledger
from audit.phantoms import heart_cohort
from generators.cost import flops_of, flops_per_call
from generators.models.cardiodit import CardioDiT
from generators.models.ldm import LDM


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return cohort_of("train", list(heart_cohort(3, size=32, frames=4)))


@pytest.fixture(scope="module")
def unet(cohort: Cohort) -> LDM:
    made = LDM(micro_recipe("ldm"))
    made.build(cohort)
    return made


def work_of(generator, **settings):
    ledger = Ledger()
    list(generator.sample(2, seed=0, batch_size=2, ledger=ledger, **settings))
    return {r.phase: r.work for r in ledger.records()}


@pytest.mark.parametrize("family", [LDM, CardioDiT])
def test_flops_without_data_are_those_of_the_real_pass(family, cohort):
    made = family(micro_recipe(family.__name__.lower()))
    made.build(cohort)
    model = made._model.eval()
    noise = torch.randn(2, *made.latent_shape)
    time = torch.zeros(1, dtype=torch.int64)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.predict(noise[:1], time, None, None, 1.0)
    assert flops_per_call(model, noise) == counter.get_total_flops() > 0


def test_calls_and_flops_are_those_that_were_made(unet):
    two, four = work_of(unet, steps=2), work_of(unet, steps=4)
    assert two["sampling"]["denoiser_calls"] == 4
    assert four["sampling"]["flops"] == 2 * two["sampling"]["flops"] > 0
    assert four["decoding"] == two["decoding"]
    assert two["decoding"]["flops"] > 0


def test_a_sampler_that_calls_twice_is_counted_twice(unet, monkeypatch):
    from generators import samplers

    def twice(predict, noise, schedule, timesteps, rng=None):
        predict(noise, timesteps[0])
        yield from samplers.ddim(predict, noise, schedule, timesteps, rng)

    monkeypatch.setitem(samplers.SAMPLERS, "ddim", (twice, samplers.spaced_timesteps))
    assert work_of(unet, steps=2)["sampling"]["denoiser_calls"] == 6


def test_a_call_that_looks_at_values_has_no_count_instead_of_a_wrong_one():
    assert flops_of(lambda: torch.ones(3).sum().item()) is None
    assert flops_of(lambda: torch.ones(2, 3) @ torch.ones(3, 4)) == 2 * 2 * 3 * 4
