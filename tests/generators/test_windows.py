"""Windows for autoencoders that normalize: close, announced, and within the limit."""

import pytest
import torch

from audit.errors import BadInput
from generators.memory import HEADROOM, live_bytes, peak_of, weight_bytes
from generators.networks.frames import FrameAutoencoder
from generators.networks.ldm_config import KL, LdmConfig
from generators.seeds import seeded_globally
from generators.windows import choose_window, sliding


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def autoencoder():
    with seeded_globally(2, "windows"):
        stage1 = KL(channels=(8, 8), attention_levels=(False, False), norm_num_groups=4)
        return FrameAutoencoder(LdmConfig(stage1=stage1, frames=2)).eval()


@torch.no_grad()
def test_sliding_windows_are_close_for_a_network_with_normalization():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = torch.nn.Sequential(
            torch.nn.Conv3d(1, 4, 3, padding=1),
            torch.nn.GroupNorm(2, 4),
            torch.nn.ConvTranspose3d(4, 1, 4, 2, 1),
        ).double()
    image = noise(1, 1, 16, 16, 16).double()
    whole, made = network(image), sliding(network, image, (8, 8, 8))
    assert made.shape == whole.shape
    assert (made - whole).abs().mean() < 0.2 * whole.abs().mean()


@torch.no_grad()
def test_a_normalizing_autoencoder_keeps_its_limit_and_says_that_it_is_approximate(
    autoencoder, capsys
):
    image = noise(1, 2, 48, 16, 16)
    latent = autoencoder.encode(image)
    whole = autoencoder.decode(latent)
    peak = live_bytes(lambda: autoencoder.decode(latent[:, :4].repeat(1, 2, 1, 1, 1))) / 2
    made = autoencoder.decode(latent, memory_gb=peak / 1e9)
    assert "approximate" in capsys.readouterr().err
    assert made.shape == whole.shape
    assert (made - whole).abs().mean() < 0.3 * whole.abs().mean()
    again = autoencoder.encode(image, memory_gb=peak / 1e9)
    assert again.shape == latent.shape
    assert "approximate" in capsys.readouterr().err


@torch.no_grad()
def test_enough_memory_is_exact_and_silent(autoencoder, capsys):
    latent = autoencoder.encode(noise(1, 2, 16, 16, 16))
    torch.testing.assert_close(
        autoencoder.decode(latent, memory_gb=8.0), autoencoder.decode(latent)
    )
    assert capsys.readouterr().err == ""


def test_windows_halve_the_longest_edge_and_stay_multiples(autoencoder):
    network = autoencoder.network.encoder
    tensor = torch.empty(1, 1, 48, 32, 16)
    need = weight_bytes(network) + HEADROOM * peak_of(network, tensor.shape)
    edges = [choose_window(network, tensor, need * share / 1e9, 2) for share in (1.01, 0.9, 0.3)]
    assert edges == [(48, 32, 16), (24, 32, 16), (24, 16, 16)]
    with pytest.raises(BadInput, match=r"at least .* GB, for the smallest windows.*--memory-gb"):
        choose_window(network, tensor, 1e-6, 2)
