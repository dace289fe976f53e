"""What our generators show to an audit: their noise prediction and their autoencoder."""

import numpy as np
import pytest
import torch
from micro import micro_recipe

from audit.cohort import Cohort
from audit.copies.membership import loss_score, pia_score, secmi_score
from audit.copies.search import extractor_of
from audit.errors import NotComputable
from audit.metrics.memorization.membership import compute
from audit.networks.autoencoder import autoencoder_of
from audit.phantoms import heart_cohort, thorax_cohort
from audit.preprocessing import fit_preprocessing
from audit.registry import Registry
from audit.scoring import build_comparison

MODELS = Registry("generators.models", "MODEL")


def untrained(family: str, cohort: Cohort, **changes: object):
    generator = MODELS.load(family)(micro_recipe(family, **changes))
    generator.build(cohort)
    return generator


@pytest.fixture(scope="module")
def thorax() -> Cohort:
    return thorax_cohort(3, size=32)


@pytest.fixture(scope="module")
def heart() -> Cohort:
    return heart_cohort(3, frames=4)


@pytest.mark.parametrize("family", ["ldm", "voldit", "medlord", "cardiodit"])
def test_every_family_shows_its_noise_prediction(family, thorax, heart):
    cohort = heart if family == "cardiodit" else thorax
    target = untrained(family, cohort).membership_target()
    clean = target.latent(cohort[0])
    assert torch.equal(clean, target.latent(cohort[0]))
    assert target.noise(clean, 0).shape == clean.shape
    scores = [loss_score(target, cohort[0], 0), pia_score(target, cohort[0])]
    assert np.isfinite([*scores, secmi_score(target, cohort[0])]).all()


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_noise_is_found_again_whatever_the_network_predicts(prediction, thorax, monkeypatch):
    scheduler = {"prediction_type": prediction, "num_train_timesteps": 100}
    generator = untrained("ldm", thorax, model={"scheduler": scheduler})
    schedule = generator.model.schedule
    clean = generator.membership_target().latent(thorax[0])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([40])
    perfect = schedule.target(clean, noise, times)
    monkeypatch.setattr(generator.model, "denoise", lambda *_args, **_kwargs: perfect)
    found = generator.membership_target().noise(schedule.add_noise(clean, noise, times), 40)
    torch.testing.assert_close(found, noise, atol=1e-4, rtol=1e-4)


def test_membership_is_measured_on_our_own_generator(thorax):
    comparison = build_comparison(
        train=thorax,
        holdout=thorax_cohort(3, role="holdout", seed=1, size=32),
        synthetic=thorax_cohort(3, role="synthetic", seed=2, size=32),
        generator=untrained("ldm", thorax),
    )
    found = compute(comparison, np.random.default_rng(0))
    assert {"loss", "pia", "secmi"} <= set(found)
    assert found["loss"].params["members"] == 3


def test_a_class_model_that_knows_no_absence_of_classes_says_so(heart):
    generator = untrained("ldm", heart, data={"class_labels": True})
    with pytest.raises(NotComputable, match="trained on classes"):
        generator.membership_target()


def test_autoencoded_volumes_keep_geometry_and_range(heart):
    generator = untrained("ldm", heart)
    volume = heart[0].image
    (back,) = generator.autoencode([volume])
    assert back.shape == volume.shape
    assert back.spacing_mm == pytest.approx(volume.spacing_mm)
    low, high = generator.grid.preprocessing.window
    assert low <= back.array.min()
    assert back.array.max() <= high


def test_the_search_knows_the_generators_autoencoder_and_the_encoder_does_not(thorax):
    generator = untrained("ldm", thorax)
    comparison = build_comparison(
        train=thorax,
        holdout=thorax_cohort(3, role="holdout", seed=1, size=32),
        synthetic=thorax_cohort(3, role="synthetic", seed=2, size=32),
        generator=generator,
    )
    workshop = comparison.workshop
    assert workshop.autoencoder_key == generator.autoencoder_identity()
    assert extractor_of(comparison) == "ssl3d_autoencoded"
    assert "ssl3d_autoencoded" not in comparison.extractor_names  # fidelity compares generators
    batch = np.stack([comparison.preprocessing(case.image) for case in thorax])
    direct = [comparison.preprocessing(v) for v in generator.autoencode(c.image for c in thorax)]
    np.testing.assert_allclose(workshop.autoencode(batch), direct, atol=1e-4)
    assert workshop.autoencode(batch[..., ::2, ::2, ::2]).shape == (3, 1, 1, 16, 16, 16)


def test_views_keep_their_place_through_a_generator_of_another_grid(thorax):
    class Identity:
        identity = staticmethod(lambda: "same")
        autoencode = staticmethod(list)

    preprocessing = fit_preprocessing(thorax)
    through, key = autoencoder_of(Identity(), preprocessing)
    batch = preprocessing(thorax[0].image)[None]
    np.testing.assert_allclose(through(batch), batch, atol=1e-5)
    assert key == "same"
    assert autoencoder_of(object(), preprocessing) == (None, "")


def test_the_autoencoder_is_known_by_itself_and_not_by_the_denoiser(thorax):
    generator = untrained("ldm", thorax)
    first, whole = generator.autoencoder_identity(), generator.identity()
    with torch.no_grad():
        next(generator.model.denoiser.parameters()).add_(1.0)
    assert generator.autoencoder_identity() == first
    assert generator.identity() != whole
