"""The 2.5D protocol: which slices it takes, how planes are put together, what it says of itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.cache import Cache
from audit.cohort import cohort_of
from audit.comparison import Comparison
from audit.errors import NotComputable
from audit.features.center_slices import center_counts, center_slices
from audit.metrics.fidelity import frechet_distance_2_5d as protocol
from audit.metrics.fidelity.frechet_distance_2_5d import frechet_distance_2_5d
from audit.networks.from_torchvision import SliceNetwork
from audit.phantoms import spoil
from audit.statistics.frechet import frechet


def test_middle_slices_of_each_plane_are_taken_and_span_the_range() -> None:
    volume = np.random.default_rng(0).uniform(-0.2, 0.3, (1, 10, 20, 5)).astype(np.float32)
    assert center_counts(volume.shape) == (4, 8, 2)
    for axis, shape in enumerate([(4, 20, 5), (8, 10, 5), (2, 10, 20)]):
        slices = center_slices(volume, axis)
        assert slices.shape == shape
        assert (slices.min(), slices.max()) == pytest.approx((-1, 1))
    expected = volume[0, 3:7]
    expected = (expected - expected.min()) / np.ptp(expected) * 2 - 1
    np.testing.assert_allclose(center_slices(volume, 0), expected, atol=1e-6)


def test_frames_add_slices_and_a_flat_volume_stays_finite() -> None:
    assert center_counts((3, 10, 10, 10)) == (12, 12, 12)
    assert np.isfinite(center_slices(np.zeros((3, 10, 10, 10), dtype=np.float32), 1)).all()


def test_each_plane_is_the_frechet_distance_of_its_slices() -> None:
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(6, 5, 3)), rng.normal(1, 1, size=(6, 5, 3))
    first, second = frechet_distance_2_5d(real=real, synthetic=synthetic, counts=(2, 3))
    sides = [s[:, :2].reshape(12, 3) for s in (real, synthetic)]
    assert first == pytest.approx(frechet(real=sides[0], synthetic=sides[1]).value)
    sides = [s[:, 2:].reshape(18, 3) for s in (real, synthetic)]
    assert second == pytest.approx(frechet(real=sides[0], synthetic=sides[1]).value)
    assert frechet_distance_2_5d(real=real, synthetic=real, counts=(2, 3)) == pytest.approx([0, 0])


def test_unequal_volumes_are_refused() -> None:
    with pytest.raises(NotComputable, match="3 real and 2 synthetic"):
        frechet_distance_2_5d(real=np.ones((3, 2, 1)), synthetic=np.ones((2, 2, 1)), counts=(2,))


def test_without_weights_each_network_says_what_is_missing(
    thorax_comparison: Comparison,
) -> None:
    found = protocol.compute(thorax_comparison, np.random.default_rng(0))
    assert set(found) == {"radimagenet_resnet50", "imagenet_resnet50"}
    for reason in found.values():
        assert isinstance(reason, NotComputable)
        assert "nothing is downloaded" in str(reason)


def test_inference_goes_by_volumes_and_noise_is_seen(
    thorax_comparison: Comparison, tmp_path, monkeypatch
) -> None:
    """A stand-in network of a few slice statistics: the path around it is what is tested."""

    def forward(slices: torch.Tensor) -> torch.Tensor:
        flat = slices.flatten(1)
        rough = (slices[..., 1:] - slices[..., :-1]).abs().flatten(1)
        return torch.stack([flat.mean(1), flat.std(1), rough.mean(1), rough.std(1)], dim=1)

    def stand_in(*_: object, **__: object) -> SliceNetwork:
        return SliceNetwork(forward, "stand-in", {})

    monkeypatch.setattr(protocol, "slice_network", stand_in)
    workshop = replace(thorax_comparison.workshop, cache=Cache(tmp_path))
    honest = replace(thorax_comparison, workshop=workshop, _made={})
    noisy = cohort_of("synthetic", list(spoil(honest.synthetic, "noise", 1.0, seed=0)))
    answers = [
        protocol.compute(c, np.random.default_rng(0))["radimagenet_resnet50"]
        for c in (honest, replace(honest, synthetic=noisy, _made={}))
    ]
    good, bad = answers
    assert good.p_value > 0.05
    assert bad.p_value <= 0.05
    assert bad.estimate.value > good.reference["real_vs_real_high"]
    assert good.estimate.n == len(honest.synthetic)  # volumes, though 13 slices a plane enter
    assert good.params["slices_a_volume"] == {"xy": 13, "zx": 13, "yz": 13}
    mean = np.mean([good.params[f"distance_{plane}"] for plane in ("xy", "zx", "yz")])
    assert good.estimate.value == pytest.approx(mean)
