"""The encoder of Dar et al. trained by name inside an audit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.cache import Cache
from audit.copies.search import extractor_of
from audit.errors import BadInput, NotComputable
from audit.extractor import EXTRACTORS
from audit.networks import dar_training
from audit.networks.dar_training import grid_of, train_dar, turned

EXTENT = (8.0, 8.0, 8.0)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(dar_training, "EPOCHS", 3)
    monkeypatch.setattr(dar_training, "SAVE_EVERY", 1)


def volumes(n=4, side=8):
    return np.random.default_rng(0).uniform(-1, 1, (n, 1, 1, side, side, side)).astype(np.float32)


def test_grids_end_at_four_voxels_and_stay_within_the_published_size():
    assert grid_of((1, 32, 256, 256)) == (32, 256, 256)
    assert grid_of((1, 50, 600, 100)) == (32, 256, 64)
    assert grid_of((8, 16, 32, 33)) == (16, 32, 32)
    assert grid_of((1, 1, 64, 64)) == (0, 64, 64)


def test_a_view_is_turned_by_little_and_keeps_the_least_intensity():
    batch = torch.from_numpy(volumes(20)[:, :, 0])
    views = turned(batch, EXTENT, torch.Generator().manual_seed(0))
    same = [bool(torch.isclose(v, b, atol=1e-5).all()) for v, b in zip(views, batch, strict=True)]
    assert 0 < sum(same) < 20
    assert (views.amin(dim=(1, 2, 3, 4)) >= batch.amin(dim=(1, 2, 3, 4)) - 1e-5).all()


def test_training_repeats_itself_and_goes_on_after_a_break(tmp_path, monkeypatch):
    before = torch.get_rng_state()
    whole = train_dar(volumes(), EXTENT, seed=1, device="cpu").state_dict()
    assert torch.equal(torch.get_rng_state(), before)

    def stop(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        passes, calls = dar_training._pass, []
        patch.setattr(
            dar_training,
            "_pass",
            lambda *args: stop() if len(calls) == 2 else (calls.append(1), passes(*args)),
        )
        with pytest.raises(KeyboardInterrupt):
            train_dar(volumes(), EXTENT, seed=1, device="cpu", checkpoint=tmp_path / "part")
    assert (tmp_path / "part").is_file()
    again = train_dar(volumes(), EXTENT, seed=1, device="cpu", checkpoint=tmp_path / "part")
    assert not (tmp_path / "part").exists()
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=0)


def test_an_audit_that_asks_for_it_trains_it_once(thorax_comparison, tmp_path):
    workshop = replace(thorax_comparison.workshop, cache=Cache(tmp_path))
    grid = replace(
        thorax_comparison.preprocessing, shape=(1, 8, 8, 8), spacing_mm=(40.0, 44.0, 44.0)
    )
    asked = replace(
        thorax_comparison,
        train=thorax_comparison.train.subset(range(4)),
        preprocessing=grid,
        workshop=workshop,
        extractor_names=("intensity", "dar2024"),
        _made={},
    )
    assert extractor_of(asked) == "dar2024"
    encoder = asked.encoder("dar2024")
    batch = np.stack([grid(asked.train[i].image) for i in range(2)])
    assert encoder.embed(batch).shape == (2, 32)
    weights = list(tmp_path.rglob("*.pth"))
    assert len(weights) == 1
    given = replace(workshop, weights={"dar2024": weights[0]})
    fit = EXTRACTORS.load("dar2024").fit
    np.testing.assert_array_equal(fit(asked.train, grid, given).embed(batch), encoder.embed(batch))


def test_single_slices_and_missing_weights_say_what_is_wrong(thorax_comparison, tmp_path):
    fit, base = EXTRACTORS.load("dar2024").fit, thorax_comparison
    flat = replace(base.preprocessing, shape=(1, 1, 32, 32))
    with pytest.raises(NotComputable, match="at least 4 voxels an axis"):
        fit(base.train, flat, base.workshop)
    absent = replace(base.workshop, weights={"dar2024": tmp_path / "none.pth"})
    with pytest.raises(BadInput, match="does not exist"):
        fit(base.train, base.preprocessing, absent)
