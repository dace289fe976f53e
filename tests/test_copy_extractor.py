"""Which network the copy search uses: one that knows the generator's autoencoder, where it can."""

import numpy as np
import pytest

from audit.cache import Cache
from audit.comparison import Comparison
from audit.copies.search import extractor_of, matched_features
from audit.errors import NotComputable
from audit.extractor import EXTRACTORS, Workshop
from audit.ledger import Ledger
from audit.phantoms import thorax_cohort
from audit.preprocessing import fit_preprocessing


def half_contrast(batch):
    return batch * np.float32(0.5)


@pytest.fixture(scope="module")
def cohorts():
    return {
        "train": thorax_cohort(8, role="train", seed=0, size=32),
        "holdout": thorax_cohort(3, role="holdout", seed=1, size=32),
        "synthetic": thorax_cohort(3, role="synthetic", seed=2, size=32),
    }


def comparison(cohorts, folder, *, known=True, names=("intensity", "ssl3d"), **more):
    workshop = Workshop(
        cache=Cache(folder), seed=0, device="cpu", ledger=Ledger(),
        weights=more.pop("weights", {}),
        autoencode=half_contrast if known else None,
        autoencoder_key="half the contrast" if known else "",
    )  # fmt: skip
    return Comparison(
        **cohorts, conditions=None, preprocessing=fit_preprocessing(cohorts["train"]),
        workshop=workshop, extractor_names=names, **more,
    )  # fmt: skip


def test_the_choice_follows_what_is_known_and_what_was_asked_for(cohorts, tmp_path):
    def name(**more):
        return extractor_of(comparison(cohorts, tmp_path, **more))

    assert name() == "ssl3d_autoencoded"
    assert name(known=False) == "ssl3d"
    assert name(names=("intensity", "dar2024")) == "dar2024"
    assert name(weights={"ssl3d": tmp_path / "own.safetensors"}) == "ssl3d"
    assert name(options={"memorization_extractor": "ssl3d"}) == "ssl3d"


def test_real_volumes_pass_through_an_autoencoder_that_is_known(cohorts, tmp_path):
    known, unknown = (comparison(cohorts, tmp_path, known=k) for k in (True, False))
    features = matched_features(known)
    encoder = known.encoder("ssl3d_autoencoded")
    for role in ("train", "holdout"):
        through = [half_contrast(known.preprocessing(c.image)[None]) for c in cohorts[role]]
        rows = np.concatenate([encoder.embed(volume) for volume in through])
        np.testing.assert_allclose(getattr(features, role), rows, atol=1e-5)
    assert features.params["real_volumes"] == "after the generator's autoencoder"
    assert matched_features(unknown).params["real_volumes"] == "as they are"


def test_numbers_of_two_autoencoders_are_defined_by_the_training_cohort(cohorts, tmp_path):
    params = comparison(cohorts, tmp_path).encoder("ssl3d_autoencoded").params
    assert params["trained_on"] == cohorts["train"].hash
    assert "weights_sha256" not in params  # which would make every retraining incomparable
    assert len(params["encoder_sha256"]) == 64


def test_without_an_autoencoder_it_says_so(cohorts, tmp_path):
    here = comparison(cohorts, tmp_path, known=False)
    with pytest.raises(NotComputable, match="autoencoder is not known"):
        EXTRACTORS.load("ssl3d_autoencoded").fit(here.train, here.preprocessing, here.workshop)
