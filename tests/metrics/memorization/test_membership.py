import numpy as np
import pytest
import torch

from audit.copies.membership import (
    MembershipTarget,
    loss_score,
    pia_score,
    secmi_score,
    true_positives_at,
)
from audit.errors import NotComputable
from audit.metrics.memorization.membership import METRIC, compute, judge
from audit.phantoms import thorax_cohort


def target_of(known):
    """A denoiser that memorized these latents; away from them it errs anew at every timestep."""
    alpha_bar = torch.linspace(0.999, 0.01, 100)
    points = torch.stack(known)

    def noise(noisy, step):
        a = alpha_bar[step]
        apart = (noisy[:, None] - a.sqrt() * points[None]).flatten(2).square().sum(dim=2)
        weight = torch.softmax(-apart / (2 * (1 - a)), dim=1)
        clean = torch.einsum("bk,k...->b...", weight, points)
        away = (noisy / a.sqrt() - clean).square().mean().sqrt()
        return (noisy - a.sqrt() * clean) / (1 - a).sqrt() + away * np.cos(7.0 * step)

    return MembershipTarget(latent=latent, noise=noise, alpha_bar=alpha_bar)


def latent(case):
    coarse = torch.nn.functional.adaptive_avg_pool3d(torch.from_numpy(case.image.array[0]), 4)
    return coarse[None] / 500


@pytest.fixture(scope="module")
def cohorts():
    train = thorax_cohort(8, role="train", seed=0, size=32)
    return train, thorax_cohort(8, role="holdout", seed=1, size=32)


@pytest.mark.parametrize(
    "attack",
    [lambda t, c: loss_score(t, c, 0), pia_score, secmi_score],
    ids=["loss", "pia", "secmi"],
)
def test_every_attack_finds_the_members_of_a_model_that_memorized(cohorts, attack):
    target = target_of([latent(case)[0] for case in cohorts[0]])
    members, others = ([attack(target, case) for case in side] for side in cohorts)
    wins = np.mean(np.array(members)[:, None] < np.array(others))
    assert wins > 0.8


def test_a_model_that_knows_neither_side_tells_nothing():
    rng = np.random.default_rng(0)
    found = judge("loss", rng.random(150), rng.random(150))
    assert found["loss"].estimate.low < 0.5 < found["loss"].estimate.high
    assert found["loss_tpr"].estimate.low <= 0.05


def test_members_that_score_higher_are_as_much_of_a_trace():
    rng = np.random.default_rng(0)
    members, others = 2 + rng.random(120), rng.random(120)
    found = {side: judge("secmi", *pair) for side, pair in (
        ("higher", (members, others)), ("lower", (others, members)))}  # fmt: skip
    areas = {side: one["secmi"] for side, one in found.items()}
    assert (areas["higher"].estimate.value, areas["lower"].estimate.value) == (0.0, 1.0)
    assert areas["higher"].p_value == areas["lower"].p_value < 1e-6
    assert areas["higher"].params["lower_scores"] == "others"
    assert areas["higher"].params["verdict"].startswith("members are told apart: they score higher")
    assert areas["lower"].params["verdict"] == "members are told apart"
    for one in found.values():
        assert one["secmi_tpr"].estimate.value == 1.0
    assert METRIC.better == "none"


def test_an_attack_that_tells_nothing_keeps_its_level_and_its_chance_rate():
    rng = np.random.default_rng(1)
    found = [judge("pia", rng.normal(size=128), rng.normal(size=128)) for _ in range(400)]
    called = np.mean(["not shown" not in one["pia"].params["verdict"] for one in found])
    assert 0.02 <= called <= 0.08
    rates = [one["pia_tpr"].estimate.value for one in found]
    chance = found[0]["pia_tpr"].reference["null"]
    assert chance == 2 / 129
    assert chance * 0.9 < np.mean(rates) < chance * 1.35


def test_true_positives_are_counted_below_the_lowest_percent_of_others():
    others = np.arange(200.0)
    assert true_positives_at(np.array([-1.0, 1.0, 2.0, 5.0]), others, 0.01) == 0.5
    assert true_positives_at(np.array([-1.0, 0.0]), np.arange(10.0), 0.01) == 0.5


def test_a_small_holdout_shows_no_rate_at_one_percent():
    rng = np.random.default_rng(0)
    found = judge("pia", rng.random(20), rng.random(20))
    assert isinstance(found["pia_tpr"], NotComputable)


def test_a_generator_without_a_callback_is_a_reason(thorax_comparison):
    with pytest.raises(NotComputable, match="does not show its noise prediction"):
        compute(thorax_comparison, np.random.default_rng(0))
