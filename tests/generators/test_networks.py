"""Options of the networks, and what is computed once instead of at every step."""

import pytest
import torch
from monai.networks.layers.vector_quantizer import EMAQuantizer
from pydantic import ValidationError
from torch import nn

from audit.errors import BadInput
from generators.latent import LatentModel
from generators.models import cardiodit, medlord, voldit
from generators.networks.dit import DiT, position_encoding
from generators.networks.dit_config import DiTConfig
from generators.networks.tgca import EPSILON, TGCA, TGCAConfig
from generators.networks.unet import ControlNet, ControlNetConfig, UNet, UNetConfig
from generators.networks.vqgan import VQGAN, VQGANConfig
from generators.official_files import read_weights
from generators.schedules import ScheduleConfig, build_schedule

STEP = torch.tensor([7])
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def randomize(module, seed=0):
    """Random weights everywhere: fresh ones are zero where training starts from nothing."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.2)
    return module.eval()


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def dit(**options):
    config = {"input_size": (4, 4, 2), "patch_size": 2, "in_channels": 3, "hidden_size": 12,
              "depth": 2, "num_heads": 2}  # fmt: skip
    return randomize(DiT(DiTConfig(**(config | options))))


def stage1_config(**options):
    config = {"num_channels": (4,), "num_res_channels": (4,), "num_res_layers": 1,
              "downsample_parameters": ((2, 4, 1, 1),), "embedding_dim": 3,
              "upsample_parameters": ((2, 4, 1, 1, 0),), "num_embeddings": 8}  # fmt: skip
    return VQGANConfig(**(config | options))


def model(*, adapter=None, **options):
    denoiser = dit(**options)
    if adapter is not None:
        adapter = randomize(TGCA(adapter, depth=2, hidden=12, grid=denoiser.config.grid), seed=3)
    schedule = build_schedule(
        ScheduleConfig(schedule="cosine", num_train_timesteps=50, prediction_type="v_prediction")
    )
    return LatentModel(
        stage1=VQGAN(stage1_config()), denoiser=denoiser, adapter=adapter, schedule=schedule
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize(("size", "patch"), [((4, 4, 2), (2, 1, 2)), ((2, 4, 4, 6), (1, 4, 2, 3))])
def test_patches_may_differ_by_axis_and_tokens_keep_their_place(size, patch):
    network = dit(input_size=size, patch_size=patch, hidden_size=16)
    latent = normal(1, 3, *size)
    assert network(latent, STEP).shape == latent.shape
    cut = latent.clone()
    cut[(0, 0, *[0] * len(size))] += 1  # one voxel of the first patch changes one token
    changed = (network.x_embedder(cut) - network.x_embedder(latent)).abs().sum(-1) > 0
    assert changed[0].tolist() == [True] + [False] * (changed.numel() - 1)


@torch.no_grad()
def test_unpatchify_undoes_the_order_of_patches():
    network = dit(input_size=(2, 4, 6, 2), patch_size=(1, 2, 3, 2), hidden_size=16, in_channels=2)
    latent = normal(2, 2, 2, 4, 6, 2)
    width = 2 * 1 * 2 * 3 * 2
    network.x_embedder.proj = nn.Linear(width, width)
    network.x_embedder.proj.weight.copy_(torch.eye(width))
    network.x_embedder.proj.bias.zero_()
    tokens = network.x_embedder(latent).view(2, -1, 2, 12)  # channel first inside a patch
    assert torch.equal(network._unpatchify(tokens.transpose(2, 3).reshape(2, -1, width)), latent)


def test_positions_take_an_equal_share_of_the_width():
    assert position_encoding(20, (2, 3, 2)).shape == (1, 12, 20)  # padded to 24 and cut back
    codes = position_encoding(24, (2, 3, 2)).view(2, 3, 2, 24)
    assert torch.equal(codes[0, 1, 1, 8:16], codes[1, 1, 0, 8:16])
    assert torch.equal(codes[1, 0, 1, :8], codes[1, 2, 0, :8])


@torch.no_grad()
def test_learned_sigma_doubles_the_channels_and_still_samples():
    sigma = model(learn_sigma=True)
    noise = normal(1, 3, 4, 4, 2)
    assert sigma.denoise(noise, STEP).shape == (1, 6, 4, 4, 2)
    assert sigma.sample_latent(noise, steps=3).shape == noise.shape


@torch.no_grad()
def test_classes_change_the_output_and_guidance_moves_away_from_no_class():
    classes = model(num_classes=3, class_dropout_prob=0.1)
    noise = normal(2, 3, 4, 4, 2)
    labels = torch.tensor([0, 2])
    one = classes.sample_latent(noise, steps=3, labels=labels)
    other = classes.sample_latent(noise, steps=3, labels=labels.flip(0))
    assert not torch.allclose(one, other)
    none = classes.sample_latent(noise, steps=1, labels=torch.tensor([3, 3]))
    one = classes.sample_latent(noise, steps=1, labels=labels)
    strong = classes.sample_latent(noise, steps=1, labels=labels, guidance=3.0)
    torch.testing.assert_close(strong, none + 3 * (one - none), **CLOSE)


def test_guidance_and_labels_that_cannot_be():
    plain = model(num_classes=2)
    noise = normal(1, 3, 4, 4, 2)
    with pytest.raises(BadInput, match="without label dropout"):
        plain.sample_latent(noise, steps=2, labels=torch.tensor([1]), guidance=2.0)
    with pytest.raises(BadInput, match="nothing to follow|without anything"):
        plain.sample_latent(noise, steps=2, guidance=2.0)
    with pytest.raises(BadInput, match="label 5 for 2 classes"):
        plain.sample_latent(noise, steps=2, labels=torch.tensor([5]))


@torch.no_grad()
def test_modulations_computed_once_are_those_of_each_step():
    network = dit(num_classes=3, class_dropout_prob=0.1)
    latent, labels = normal(3, 3, 4, 4, 2), torch.tensor([2, 0, 2])
    all_steps = network.modulate_all([40, 7, 0], labels)
    assert all_steps.labels == 2
    for position, step in enumerate([40, 7, 0]):
        torch.testing.assert_close(
            network(latent, STEP, labels, modulations=all_steps.at(position)),
            network(latent, torch.full((3,), step), labels),
            **CLOSE,
        )


@torch.no_grad()
def test_masks_and_modulations_are_computed_once_a_sample():
    control = model(adapter=TGCAConfig())
    calls = {"mask": 0, "modulation": 0, "block": 0}

    def count(name):
        return lambda *_: calls.__setitem__(name, calls[name] + 1)

    control.adapter.condition_embedder.register_forward_hook(count("mask"))
    control.denoiser.blocks[0].adaLN_modulation.register_forward_hook(count("modulation"))
    control.denoiser.blocks[0].register_forward_hook(count("block"))
    mask = (normal(2, 1, 8, 8, 4) > 0).float()
    control.sample_latent(normal(2, 3, 4, 4, 2), steps=5, condition=mask)
    assert calls == {"mask": 1, "modulation": 1, "block": 5}


@torch.no_grad()
def test_modulations_are_kept_for_the_next_sample_until_a_weight_changes():
    classes = model(num_classes=3, class_dropout_prob=0.1)
    count = []
    classes.denoiser.final_layer.adaLN_modulation.register_forward_hook(lambda *_: count.append(1))
    noise, labels = normal(1, 3, 4, 4, 2), torch.tensor([1])
    first = classes.sample_latent(noise, steps=4, labels=labels)
    again = classes.sample_latent(noise, steps=4, labels=labels)
    assert len(count) == 1
    assert torch.equal(first, again)
    classes.sample_latent(noise, steps=4, labels=torch.tensor([2]))
    assert len(count) == 2
    for parameter in classes.denoiser.parameters():
        parameter.mul_(1.1)
    changed = classes.sample_latent(noise, steps=1, labels=labels)
    fresh = classes.schedule.split(
        classes.denoise(noise, torch.tensor([0]), labels), noise, classes.schedule.alpha_bar(0)
    )[0]
    torch.testing.assert_close(changed, fresh, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm-solver++"])
def test_sampling_is_the_loop_over_denoise(sampler):
    from generators.samplers import find_sampler

    control = model(adapter=TGCAConfig())
    noise, mask = normal(2, 3, 4, 4, 2), (normal(2, 1, 8, 8, 4) > 0).float()
    solver, choose = find_sampler(sampler)
    rng = [torch.Generator().manual_seed(s) for s in (0, 1)]
    slow = list(
        solver(
            lambda x, t: control.denoise(x, torch.full((2,), t), condition=mask),
            noise,
            control.schedule,
            choose(control.schedule, 6),
            rng,
        )
    )[-1]
    rng = [torch.Generator().manual_seed(s) for s in (0, 1)]
    fast = control.sample_latent(noise, steps=6, sampler=sampler, condition=mask, rng=rng)
    torch.testing.assert_close(fast, slow, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("sampler", ["ddpm", "dpm-solver++"])
def test_a_sample_is_the_same_in_any_batch(sampler):
    control = model(adapter=TGCAConfig(), num_classes=2)
    noise, mask = normal(3, 3, 4, 4, 2), (normal(3, 1, 8, 8, 4) > 0).float()
    labels = torch.tensor([1, 0, 1])

    def sample(*picks):
        picks = list(picks)
        return control.sample_latent(
            noise[picks], steps=4, sampler=sampler, labels=labels[picks], condition=mask[picks],
            rng=[torch.Generator().manual_seed(i) for i in picks],
        )  # fmt: skip

    torch.testing.assert_close(sample(0, 1, 2)[2:], sample(2), **CLOSE)


@torch.no_grad()
def test_half_precision_weights_stay_close():
    full = model(adapter=TGCAConfig())
    noise, mask = normal(1, 3, 4, 4, 2), (normal(1, 1, 8, 8, 4) > 0).float()
    wanted = full.sample_latent(noise, steps=4, condition=mask)
    full.bfloat16()
    assert full.decode(wanted).isfinite().all()
    made = full.sample_latent(noise, steps=4, condition=mask)
    assert made.dtype == torch.float32
    assert (made - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_the_adapter_reaches_the_layers_it_was_told_to():
    for layers, wanted in ((None, [0, 1, 2, 3]), (2, [2, 3]), ([0, 3], [0, 3]), (0, [])):
        assert TGCAConfig(inject_layers=layers).layers(4) == wanted
    with pytest.raises(BadInput, match="inject_layers"):
        TGCAConfig(inject_layers=[4]).layers(4)
    one = model(adapter=TGCAConfig(inject_layers=1))
    assert len(one.adapter.adapter_scales) == 1
    embedded = one.embed_condition(torch.ones(1, 1, 8, 8, 4), (4, 4, 2))
    control = one.adapter(one.denoiser, embedded, None, STEP)
    assert control(0) is None
    assert control(1).shape == (1, 4, 12)


@torch.no_grad()
def test_the_control_is_the_layer_norm_of_gated_scaled_tokens():
    control = model(adapter=TGCAConfig())
    adapter, grid = control.adapter, control.denoiser.config.grid
    mask = (normal(1, 1, 8, 8, 4) > 0).float()
    made = adapter(control.denoiser, control.embed_condition(mask, (4, 4, 2)), None, STEP)(1)
    features = nn.functional.interpolate(
        adapter.condition_embedder(mask), size=grid, mode="trilinear"
    )
    gate = torch.sigmoid(adapter.time_gate(control.denoiser.t_embedder(STEP)))
    tokens = features.flatten(2).transpose(1, 2) * gate[:, None] * adapter.adapter_scales[1]
    wanted = nn.functional.layer_norm(tokens, (12,), eps=EPSILON)
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=1e-4)


def test_finetuned_blocks_are_trained_with_the_adapter():
    assert model(adapter=TGCAConfig()).adapter_parts()[1:] == []
    tuned = model(adapter=TGCAConfig(finetune_last_n_blocks=1))
    assert tuned.adapter_parts() == [
        tuned.adapter, tuned.denoiser.blocks[1], tuned.denoiser.final_layer
    ]  # fmt: skip


def test_an_untrained_adapter_leaves_the_base_as_it_is():
    denoiser = dit()
    adapter = TGCA(TGCAConfig(), depth=2, hidden=12, grid=denoiser.config.grid)
    base = model()
    base.denoiser, base.adapter = denoiser, adapter
    latent = normal(1, 3, 4, 4, 2)
    with torch.no_grad():
        made = base.denoise(latent, STEP, condition=torch.ones(1, 1, 8, 8, 4))
        torch.testing.assert_close(made, base.denoise(latent, STEP), **CLOSE)


def test_recomputing_activations_changes_no_gradient():
    gradients, weights = [], randomize(VQGAN(stage1_config())).state_dict()
    for again in (False, True):
        network = VQGAN(stage1_config(use_checkpointing=again)).eval()
        network.load_state_dict(weights)
        reconstruction, loss = network(normal(1, 1, 8, 8, 8))
        (reconstruction.square().mean() + loss).backward()
        gradients.append({n: p.grad for n, p in network.named_parameters()})
    torch.testing.assert_close(gradients[1], gradients[0])


def test_the_codebook_is_monais():
    config = stage1_config(num_embeddings=6, decay=0.9, commitment_cost=0.25)
    ours = VQGAN(config).codebook.train()
    theirs = EMAQuantizer(
        spatial_dims=3, num_embeddings=6, embedding_dim=3, decay=0.9, commitment_cost=0.25
    ).train()
    theirs.load_state_dict(ours.state_dict())
    for seed in range(3):
        latent = normal(2, 3, 4, 4, 4, seed=seed)
        quantized, loss = ours(latent)
        wanted, wanted_loss, indices = theirs(latent)
        torch.testing.assert_close(quantized, wanted, **CLOSE)
        torch.testing.assert_close(loss, wanted_loss, **CLOSE)
        assert ours.indices(latent).shape == indices.shape
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, **CLOSE)


def test_the_codebook_is_searched_in_parts(monkeypatch):
    from generators.networks import vqgan

    book, latent = VQGAN(stage1_config()).codebook, normal(1, 3, 5, 4, 3)
    whole = book.indices(latent)
    monkeypatch.setattr(vqgan, "DISTANCES", 56)  # 7 positions at a time
    assert torch.equal(book.indices(latent), whole)


def test_no_optimizer_moves_what_is_counted_or_given():
    names = {n for n, _ in model().named_parameters()}
    assert not any("codebook" in n or "quantizer" in n or "pos_embed" in n for n in names)


def unet_config(**options):
    config = {"in_channels": 3, "out_channels": 3, "num_channels": (8, 16),
              "attention_levels": (False, True), "num_head_channels": (0, 8),
              "num_res_blocks": 1, "norm_num_groups": 4}  # fmt: skip
    return UNetConfig(**(config | options))


@torch.no_grad()
@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize(("stride", "widths"), [(1, (4, 8)), (2, (4,))])
def test_a_controlnet_of_any_width_fits_its_unet(ratio, stride, widths):
    shared = unet_config().model_dump(exclude={"out_channels", "dropout_cattn"})
    config = ControlNetConfig(
        **shared, r=ratio, initial_stride=stride, conditioning_embedding_num_channels=widths
    )
    control, unet = randomize(ControlNet(config)), randomize(UNet(unet_config()))
    assert control.conv_in.conv.out_channels == int(8 * ratio)
    latent, mask = normal(1, 3, 4, 4, 4), (normal(1, 1, 8, 8, 8) > 0).float()
    features = control.embed(control.embedder(mask), (4, 4, 4))
    residuals = control(unet, features, latent, STEP)
    assert not torch.allclose(unet(latent, STEP, None, residuals), unet(latent, STEP))
    silent = control(unet, features, latent, STEP, None, 0.0)
    torch.testing.assert_close(unet(latent, STEP, None, silent), unet(latent, STEP), **CLOSE)


@torch.no_grad()
def test_the_published_controlnet_yaml_builds_with_cross_attention_and_no_context():
    shared = unet_config().model_dump(exclude={"out_channels", "dropout_cattn"})
    config = ControlNetConfig(
        **(shared | {"with_conditioning": True}),
        r=0.5,
        conditioning_embedding_num_channels=(4,),
    )
    control = randomize(ControlNet(config))
    features = control.embedder(torch.ones(1, 1, 8, 8, 8))
    down, middle = control(None, features, normal(1, 3, 4, 4, 4), STEP)
    assert middle.shape == (1, 16, 2, 2, 2)
    assert [d.shape[1] for d in down] == [8, 8, 8, 16]


@torch.no_grad()
def test_a_unet_with_classes_needs_and_follows_labels():
    unet, latent = randomize(UNet(unet_config(num_class_embeds=3))), normal(1, 3, 4, 4, 4)
    with pytest.raises(BadInput, match="no labels for a network with 3 classes"):
        unet(latent, STEP)
    one, other = (unet(latent, STEP, torch.tensor([c])) for c in (0, 2))
    assert not torch.allclose(one, other)


def test_a_controlnet_of_another_unet_is_refused():
    shared = unet_config(num_channels=(8, 8)).model_dump(exclude={"out_channels", "dropout_cattn"})
    config = medlord.MedLoRDConfig(
        stage1=stage1_config(),
        denoiser=unet_config(),
        scheduler=ScheduleConfig(),
        adapter=ControlNetConfig(**shared, r=1.0),
    )
    with pytest.raises(BadInput, match="num_channels"):
        medlord.build(config)


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        (unet_config, {"num_channels": (8, 10)}, "norm_num_groups"),
        (unet_config, {"attention_levels": (True,)}, "2, as many"),
        (stage1_config, {"downsample_parameters": ((2, 4, 1, 1),) * 2}, "1, as many"),
        (lambda **o: dit(**o), {"num_heads": 5}, "5 heads"),
        (lambda **o: dit(**o), {"input_size": (2, 2, 2, 2), "patch_size": 1}, "divide by 8"),
        (lambda **o: dit(**o), {"patch_size": (2, 2)}, "patch_size"),
        (lambda **o: ScheduleConfig(**o), {"zero_terminal_snr": True}, "v_prediction"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(kind, options, told):
    with pytest.raises(ValidationError, match=told):
        kind(**options)


def test_one_tuple_of_strides_stands_for_all_levels():
    config = VQGANConfig(
        num_channels=(4, 4), num_res_channels=4, downsample_parameters=(2, 4, 1, 1),
        upsample_parameters=(2, 4, 1, 1, 0),
    )  # fmt: skip
    assert config.factor == (4, 4, 4)
    assert config.num_res_channels == (4, 4)


PUBLISHED = {
    "voldit ds8 L/4": (
        voldit.VolDiTConfig,
        {
            "stage1": {"num_channels": [128, 256, 512], "num_res_channels": [128, 256, 512],
                       "num_res_layers": 2, "downsample_parameters": [[2, 4, 1, 1]] * 3,
                       "upsample_parameters": [[2, 4, 1, 1, 0]] * 3, "num_embeddings": 4096,
                       "embedding_dim": 8},
            "denoiser": {"input_size": [64, 64, 32], "patch_size": 4, "in_channels": 8,
                         "hidden_size": 1152, "depth": 24, "num_heads": 16},
            "scheduler": {"schedule": "cosine", "num_train_timesteps": 300,
                          "prediction_type": "v_prediction"},
        },
        lambda parameters: 550e6 < parameters < 700e6,
    ),
    "cardiodit B": (
        cardiodit.CardioDiTConfig,
        {
            "stage1": {"num_channels": [128, 256, 256], "num_res_channels": [128, 256, 256],
                       "num_res_layers": 2, "num_embeddings": 4096, "embedding_dim": 8,
                       "downsample_parameters": [[2, 4, 1, 1], [2, 4, 1, 1],
                                                 [[2, 2, 1], [4, 4, 1], 1, [1, 1, 0]]],
                       "upsample_parameters": [[[2, 2, 1], [4, 4, 1], 1, [1, 1, 0], [0, 0, 0]],
                                               [2, 4, 1, 1, 0], [2, 4, 1, 1, 0]]},
            "denoiser": {"input_size": [10, 28, 28, 8], "patch_size": [1, 4, 4, 2],
                         "in_channels": 8, "hidden_size": 1024, "depth": 12, "num_heads": 16},
            "scheduler": {"schedule": "cosine", "num_train_timesteps": 300,
                          "prediction_type": "v_prediction"},
        },
        lambda parameters: 200e6 < parameters < 260e6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_build(name):
    kind, tree, plausible = PUBLISHED[name]
    module = voldit if kind is voldit.VolDiTConfig else cardiodit
    with torch.device("meta"):
        built = module.build(kind.model_validate(tree))
    assert plausible(sum(p.numel() for p in built.denoiser.parameters()))


def test_reading_weights_needs_no_model(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.pth")
    assert torch.equal(read_weights(tmp_path / "plain.pth")["a"], torch.ones(2))
