"""Tiles give what the whole gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import BadInput
from generators import tiles
from generators.memory import live_bytes
from generators.networks.condition import ConditionEmbedder
from generators.networks.slices import SliceStage
from generators.networks.vqgan import VQGAN, VQGANConfig

EXACT = {"atol": 1e-10, "rtol": 1e-10}


def vqgan(*, levels=2, last=None, width=4):
    down, up = [(2, 4, 1, 1)] * levels, [(2, 4, 1, 1, 0)] * levels
    if last is not None:
        down[-1], up[0] = last
    config = VQGANConfig(
        num_channels=(width,) * levels,
        num_res_channels=(width,) * levels,
        num_res_layers=1,
        downsample_parameters=down,
        upsample_parameters=up,
        num_embeddings=16,
        embedding_dim=3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return VQGAN(config).double().eval()


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_tiles(monkeypatch, edges, network, tensor, **options):
    monkeypatch.setattr(tiles, "choose_tile", lambda *_: tuple(edges))
    return tiles.tiled(network, tensor, memory_gb=1.0, **options)


@torch.no_grad()
@pytest.mark.parametrize("edges", [(16, 16, 16), (7, 20, 11), (28, 5, 9)])
def test_tiled_decoding_is_exact_also_where_tiles_do_not_divide_the_volume(monkeypatch, edges):
    network, latent = vqgan().decoder, noise(2, 3, 7, 6, 5)
    made = in_tiles(monkeypatch, edges, network, latent)
    torch.testing.assert_close(made, network(latent), **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("edges", [(4, 4, 2), (3, 5, 1)])
def test_tiled_encoding_is_exact(monkeypatch, edges):
    network, image = vqgan().encoder, noise(1, 1, 24, 20, 12)
    made = in_tiles(monkeypatch, edges, network, image)
    torch.testing.assert_close(made, network(image), **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("edges", [(3, 2, 2), (1, 4, 1)])
def test_tiled_masks_of_an_adapter_are_exact(monkeypatch, edges):
    network, masks = ConditionEmbedder(2, 5, (3, 4, 6)).double(), noise(1, 2, 19, 32, 21)
    torch.nn.init.normal_(network.conv_out.conv.weight)
    made = in_tiles(monkeypatch, edges, network, masks)
    torch.testing.assert_close(made, network(masks), **EXACT)


@torch.no_grad()
def test_slices_with_their_own_strides_in_time_are_exact(monkeypatch):
    last = (
        ((2, 2, 1), (4, 4, 1), 1, (1, 1, 0)),
        ((2, 2, 1), (4, 4, 1), 1, (1, 1, 0), (0, 0, 0)),
    )
    stage = SliceStage(vqgan(last=last))
    assert stage.factor == (4, 4, 1, 2)
    cine = noise(1, 1, 24, 20, 3, 6)
    latent = stage.encode(cine)
    whole = stage.decode(latent)
    monkeypatch.setattr(tiles, "choose_tile", lambda *_: (9, 7, 4))
    torch.testing.assert_close(stage.decode(latent, memory_gb=1.0), whole, **EXACT)
    monkeypatch.setattr(tiles, "choose_tile", lambda *_: (2, 3, 2))
    torch.testing.assert_close(stage.encode(cine, memory_gb=1.0), latent, **EXACT)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    kernels=st.lists(
        st.tuples(
            st.sampled_from([(3, 1, 1), (4, 2, 1), (3, 2, 1), (1, 1, 0), (5, 1, 2)]), st.booleans()
        ),
        min_size=1,
        max_size=3,
    ),
    size=st.integers(8, 17),
    edge=st.integers(1, 9),
)
@torch.no_grad()
def test_any_stack_of_one_direction_is_exact(kernels, size, edge):
    up = kernels[0][1]
    kind = torch.nn.ConvTranspose2d if up else torch.nn.Conv2d
    layers = [kind(1, 1, k, s, p) for (k, s, p), _ in kernels]
    network = torch.nn.Sequential(*layers).double()
    image = noise(1, 1, size, size)
    with pytest.MonkeyPatch.context() as patch:
        made = in_tiles(patch, (edge, edge + 1), network, image)
    torch.testing.assert_close(made, network(image), **EXACT)


@torch.no_grad()
def test_the_memory_limit_holds(monkeypatch):
    network = vqgan(width=12).float()
    latent = noise(1, 3, 48, 8, 8).float()
    untiled = live_bytes(lambda: network.decode(latent))
    limit = 0.8 * untiled
    stack = tiles.read_stack(network.decoder)
    edges = tiles.choose_tile(network.decoder, stack, latent, (192, 32, 32), limit / 1e9)
    assert edges != (192, 32, 32)
    monkeypatch.setattr(tiles, "choose_tile", lambda *_: edges)  # its own counting counts, too
    peak = live_bytes(lambda: network.decode(latent, memory_gb=limit / 1e9))
    assert peak <= limit
    monkeypatch.undo()
    made = network.decode(latent, memory_gb=limit / 1e9)
    torch.testing.assert_close(made, network.decode(latent), atol=1e-5, rtol=0)


@torch.no_grad()
def test_enough_memory_needs_no_tiles():
    network, latent = vqgan(), noise(1, 3, 4, 4, 4)
    assert torch.equal(network.decode(latent, memory_gb=8.0), network.decode(latent))


@torch.no_grad()
def test_too_little_memory_says_how_much_is_needed():
    with pytest.raises(BadInput, match=r"at least [0-9.e-]+ GB.*--memory-gb"):
        vqgan().decode(noise(1, 3, 8, 8, 8), memory_gb=1e-6)


def test_a_network_with_normalization_has_no_exact_tiles():
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3), torch.nn.GroupNorm(2, 4))
    with pytest.raises(BadInput, match="GroupNorm looks at the whole volume"):
        tiles.read_stack(network)
