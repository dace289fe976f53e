"""Solvers against exact solutions: for Gaussian data everything is known in closed form."""

import math

import pytest
import torch

from audit.errors import BadInput
from generators.samplers import (
    SAMPLERS,
    ddim,
    ddpm,
    dpm_solver,
    even_timesteps,
    find_sampler,
    gaussian,
    spaced_timesteps,
)
from generators.schedules import ScheduleConfig, build_schedule

SPREAD = 0.7  # standard deviation of the clean data
KINDS = ("epsilon", "sample", "v_prediction")


def schedule_of(kind="v_prediction", name="cosine", **options):
    return build_schedule(
        ScheduleConfig(schedule=name, num_train_timesteps=300, prediction_type=kind, **options)
    )


def best_prediction(schedule):
    """The posterior mean for data N(0, SPREAD²), in the schedule's prediction type."""

    def predict(noisy, timestep):
        alpha_bar = schedule.alpha_bar(timestep)
        total = alpha_bar * SPREAD**2 + 1 - alpha_bar
        clean = math.sqrt(alpha_bar) * SPREAD**2 / total * noisy
        epsilon = math.sqrt(1 - alpha_bar) / total * noisy
        return {
            "epsilon": epsilon,
            "sample": clean,
            "v_prediction": math.sqrt(alpha_bar) * epsilon - math.sqrt(1 - alpha_bar) * clean,
        }[schedule.config.prediction_type]

    return predict


def run(solver, schedule, noise, timesteps, rng=None, **options):
    states = solver(best_prediction(schedule), noise, schedule, timesteps, rng, **options)
    return list(states)[-1]


def exact_flow(schedule, noise, start):
    """Where the probability flow carries a point: its quantile stays."""
    alpha_bar = schedule.alpha_bar(start)
    return noise * SPREAD / math.sqrt(alpha_bar * SPREAD**2 + 1 - alpha_bar)


@pytest.fixture
def noise():
    return torch.randn((64, 1, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_few_steps_of_dpm_solver_beat_as_many_of_ddim(kind, noise):
    schedule = schedule_of(kind, "linear_beta")
    timesteps = even_timesteps(schedule, 12)
    wanted = exact_flow(schedule, noise, timesteps[0])
    errors = {
        solver: (run(solver, schedule, noise, timesteps) - wanted).abs().max()
        for solver in (ddim, dpm_solver)
    }
    assert errors[dpm_solver] < 0.25 * errors[ddim]


def test_dpm_solver_is_of_second_order_until_its_last_step(noise):
    """Measured over inner steps; the step to alpha_bar = 1 is of first order by design."""
    schedule = schedule_of("v_prediction", "linear_beta")

    def error(steps):
        timesteps = even_timesteps(schedule, steps)
        states = list(dpm_solver(best_prediction(schedule), noise, schedule, [*timesteps, 0]))
        end = schedule.alpha_bar(0)
        scale = math.sqrt(end * SPREAD**2 + 1 - end) / SPREAD
        return float((states[-2] - exact_flow(schedule, noise, timesteps[0]) * scale).abs().max())

    coarse, fine = error(25), error(100)
    assert math.log(coarse / fine) / math.log(4) > 1.6


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_prediction_types_of_one_network_give_one_result(sampler, noise):
    solver, choose = find_sampler(sampler)
    made = []
    for kind in KINDS:
        schedule = schedule_of(kind, "scaled_linear_beta")
        rng = torch.Generator().manual_seed(1)
        made.append(run(solver, schedule, noise, choose(schedule, 30), rng))
    for other in made[1:]:
        torch.testing.assert_close(other, made[0], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("steps", [300, 30])
def test_ancestral_sampling_gives_the_data_distribution_also_with_fewer_steps(steps):
    schedule = schedule_of()
    rng = torch.Generator().manual_seed(0)
    start = torch.randn((40000, 1), generator=rng, dtype=torch.float64)
    made = run(ddpm, schedule, start, spaced_timesteps(schedule, steps), rng)
    assert float(made.std()) == pytest.approx(SPREAD, rel=0.02 if steps == 300 else 0.1)


def test_ddim_with_eta_1_keeps_the_spread():
    schedule = schedule_of()
    rng = torch.Generator().manual_seed(0)
    start = torch.randn((20000, 1), generator=rng, dtype=torch.float64)
    made = run(ddim, schedule, start, spaced_timesteps(schedule, 150), rng, eta=1.0)
    assert float(made.std()) == pytest.approx(SPREAD, rel=0.05)


def test_a_sample_does_not_depend_on_its_batch():
    schedule = schedule_of()

    def sample(seeds):
        generators = [torch.Generator().manual_seed(s) for s in seeds]
        start = gaussian(torch.empty(len(seeds), 1, 3, dtype=torch.float64), generators)
        return run(ddpm, schedule, start, spaced_timesteps(schedule, 20), generators)

    assert torch.equal(sample([7, 8, 9])[1:], sample([8, 9]))
    assert not torch.equal(sample([7])[0], sample([8])[0])


def test_learned_variance_lies_between_the_two_fixed_ones():
    small, large = (schedule_of(variance_type=f"fixed_{size}") for size in ("small", "large"))
    learned = schedule_of(variance_type="learned_range")
    start = torch.zeros((1, 2), dtype=torch.float64)

    def first(schedule, share=None):
        def predict(noisy, _):
            zero = torch.zeros_like(noisy)
            return zero if share is None else torch.cat([zero, zero + share], dim=1)

        rng = torch.Generator().manual_seed(0)
        return next(ddpm(predict, start, schedule, [200, 100, 0], rng))

    torch.testing.assert_close(first(learned, 1.0), first(large))
    torch.testing.assert_close(first(learned, -1.0), first(small))


def test_a_learned_variance_needs_a_network_that_predicts_it():
    schedule = schedule_of(variance_type="learned")
    with pytest.raises(BadInput, match="predicts no variance"):
        run(ddpm, schedule, torch.zeros(1, 2), [10, 0], torch.Generator())


def test_zero_terminal_snr_ends_in_pure_noise_and_samples_finitely(noise):
    schedule = schedule_of("v_prediction", "scaled_linear_beta", zero_terminal_snr=True)
    assert schedule.alphas_cumprod[-1] == 0
    for solver, choose in SAMPLERS.values():
        made = run(solver, schedule, noise, choose(schedule, 20), torch.Generator())
        assert made.isfinite().all()


@pytest.mark.parametrize("name", ["linear_beta", "scaled_linear_beta", "sigmoid_beta"])
def test_schedules_are_monais(name):
    from monai.networks.schedulers import DDPMScheduler

    theirs = DDPMScheduler(num_train_timesteps=300, schedule=name)
    torch.testing.assert_close(
        schedule_of(name=name).alphas_cumprod.float(), theirs.alphas_cumprod, atol=1e-6, rtol=0
    )


def test_steps_run_over_the_whole_schedule():
    schedule = schedule_of()
    assert spaced_timesteps(schedule, 12)[:2] == [275, 250]
    assert spaced_timesteps(schedule, 12)[-1] == 0
    assert even_timesteps(schedule, 300) == list(range(299, -1, -1))
    assert even_timesteps(schedule, 4) == [299, 224, 149, 74]


@pytest.mark.parametrize("steps", [0, 301])
def test_impossible_numbers_of_steps_are_refused(steps):
    with pytest.raises(BadInput, match="1 to 300"):
        spaced_timesteps(schedule_of(), steps)


def test_an_unknown_sampler_is_refused_with_what_may_have_been_meant():
    with pytest.raises(BadInput, match=r"did you mean 'dpm-solver\+\+'"):
        find_sampler("dpm-solver")


def test_as_many_generators_as_samples():
    with pytest.raises(BadInput, match="1 generators for 2 samples"):
        gaussian(torch.zeros(2, 3), [torch.Generator()])
