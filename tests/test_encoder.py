"""Copy encoders: the published one to the last digit, ours in its properties."""

from pathlib import Path

import numpy as np
import pytest
import torch

from audit.errors import BadInput
from audit.networks.dar_encoder import load_encoder
from audit.networks.ssl_training import CopyEncoder, Recipe, disturb, fold, train_encoder

REFERENCE = Path(__file__).parent / "reference" / "memorization"
TINY = Recipe(side=12, dim=16, steps=20, batch=4)


@pytest.mark.reference
def test_the_published_encoder_is_reproduced():
    stored = np.load(REFERENCE / "encoder.npz")
    encoder = load_encoder(
        "dar2024",
        checkpoint=REFERENCE / "encoder.pth",
        downsample=stored["downsample"].tolist(),
    )
    with torch.inference_mode():
        embedding = encoder(torch.from_numpy(stored["image"])).numpy()
    np.testing.assert_allclose(embedding, stored["embedding"], atol=1e-5)
    np.testing.assert_allclose(np.corrcoef(embedding), stored["pearson"], atol=1e-5)


def test_the_published_input_size_ends_at_thirty_two_numbers():
    encoder = load_encoder("dar2024", downsample=(2, 16, 16))
    assert encoder(torch.zeros(1, 1, 8, 64, 64)).shape == (1, 32)
    with pytest.raises(BadInput, match="end at"):
        encoder(torch.zeros(1, 1, 8, 32, 32))


def test_unknown_encoders_and_damaged_checkpoints_are_bad_input(tmp_path):
    with pytest.raises(BadInput, match="did you mean 'dar2024'"):
        load_encoder("dar2025")
    (tmp_path / "x.pth").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="cannot be read"):
        load_encoder("dar2024", checkpoint=tmp_path / "x.pth")


def volumes(n, shape=(1, 1, 12, 12, 12), seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *shape)).astype(np.float32)


def names(n):
    return [str(i) for i in range(n)]


def test_training_is_the_same_for_the_same_seed_and_leaves_global_randomness_alone():
    before = torch.get_rng_state()
    train = [
        train_encoder(volumes(8), names(8), (1, 1, 1), TINY, seed=seed, device="cpu").state_dict()
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(train[0][k], train[1][k]) for k in train[0])
    assert any(not torch.equal(train[0][k], train[2][k]) for k in train[0])


def test_a_broken_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("audit.networks.ssl_training.SAVE_EVERY", 6)
    arguments = (volumes(8), names(8), (1, 1, 1), TINY)
    whole = train_encoder(*arguments, seed=0, device="cpu").state_dict()
    checkpoint = tmp_path / "partial"
    original = torch.optim.Adam.step
    calls = []

    def breaking(self, *a, **k):
        calls.append(1)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return original(self, *a, **k)

    monkeypatch.setattr(torch.optim.Adam, "step", breaking)
    with pytest.raises(KeyboardInterrupt):
        train_encoder(*arguments, seed=0, device="cpu", checkpoint=checkpoint)
    assert checkpoint.is_file()
    resumed = train_encoder(*arguments, seed=0, device="cpu", checkpoint=checkpoint).state_dict()
    assert not checkpoint.exists()
    assert len(calls) == 15 + 20 - 12
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 12, 12, 12), (1, 1, 1, 16, 16), (1, 5, 6, 12, 12)])
def test_2d_3d_and_cine_volumes_are_embedded(shape):
    encoder = train_encoder(volumes(8, shape), names(8), (1, 1, 1), TINY, seed=0, device="cpu")
    embedded = encoder(torch.from_numpy(volumes(3, shape)))
    assert embedded.shape == (3, 16)
    assert torch.isfinite(embedded).all()


def test_a_mirrored_a_reversed_and_a_time_shifted_volume_have_the_same_embedding():
    encoder = CopyEncoder(1, (5, 12, 12, 12), Recipe(dim=16)).eval()
    cine = torch.from_numpy(volumes(2, (1, 5, 12, 12, 12)))
    for changed in (cine.flip(-1), cine.flip(2), cine.roll(2, dims=2)):
        torch.testing.assert_close(encoder(changed), encoder(cine), rtol=1e-4, atol=1e-5)


def test_folding_keeps_what_is_on_either_side():
    volume = torch.zeros(1, 1, 2, 2, 4)
    volume[..., 0] = 1
    folded = fold(volume)
    assert folded.shape == (1, 2, 2, 2, 2)
    assert folded[0, 0, 0, 0].tolist() == folded[0, 1, 0, 0].tolist() == [0.5, 0.0]


def test_views_stay_in_range_and_follow_their_seed():
    clean = torch.from_numpy(volumes(3))
    one, two = (disturb(clean, (1, 1, 1), TINY, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert float(one.abs().max()) <= 1
    assert not torch.equal(one, clean)


def test_an_autoencoder_that_is_known_is_one_of_the_disturbances():
    clean = volumes(8)
    arguments = {"recipe": TINY, "seed": 0, "device": "cpu"}
    known, unknown, same = (
        train_encoder(clean, names(8), (1, 1, 1), autoencoded=through, **arguments)
        for through in (-clean, None, clean)
    )
    queries = torch.from_numpy(np.concatenate([clean, -clean]))
    with torch.inference_mode():
        rows = [np.corrcoef(encoder(queries).numpy()) for encoder in (known, unknown, same)]
    own = [float(np.mean(np.diag(r[:8, 8:]))) for r in rows]
    assert own[0] > max(own[1:]) + 0.2
