"""Official files that are wrong end in one sentence; every official option works."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from audit.errors import BadInput, UnusableFile
from generators import load_official
from generators.official import read_config
from generators.official_files import read_weights

REFERENCE = Path(__file__).parents[1] / "reference"
NAMES = {"voldit": "dit", "cardiodit": "dit", "medlord": "ldm"}


def files(family, adapter=None, folder=REFERENCE):
    names = {"stage1": "stage1", "denoiser": NAMES[family]}
    if adapter is not None:
        names["adapter"] = adapter
    return {
        f"{part}_{kind}": folder / family / f"{name}.{suffix}"
        for part, name in names.items()
        for kind, suffix in (("config", "yaml"), ("checkpoint", "pth"))
    }


@pytest.fixture
def copy(tmp_path):
    """The reference files of one family, to be damaged."""

    def make(family):
        shutil.copytree(REFERENCE / family, tmp_path / family)
        return tmp_path

    return make


def edit(file, change):
    tree = yaml.safe_load(file.read_text())
    change(tree)
    file.write_text(yaml.safe_dump(tree))


class Bomb:
    """Unpickling this would run code."""

    def __reduce__(self):
        return (print, ("executed",))


def test_a_checkpoint_with_code_is_refused_and_nothing_runs(copy, capsys):
    folder = copy("voldit")
    target = folder / "voldit" / "dit.pth"
    torch.save({"model": {"weight": torch.zeros(1)}, "extra": Bomb()}, target)
    with pytest.raises(UnusableFile, match=r"'dit.pth' holds objects other than tensors"):
        load_official("voldit", **files("voldit", folder=folder))
    target.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnusableFile, match="dit.pth"):
        load_official("voldit", **files("voldit", folder=folder))
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999])
def test_a_truncated_checkpoint_says_so(copy, share):
    folder = copy("voldit")
    target = folder / "voldit" / "stage1.pth"
    whole = target.read_bytes()
    target.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UnusableFile, match=r"'stage1.pth' is truncated or no checkpoint"):
        load_official("voldit", **files("voldit", folder=folder))


def test_an_absent_file_says_so(tmp_path):
    given = files("voldit") | {"denoiser_checkpoint": tmp_path / "gone.pth"}
    with pytest.raises(UnusableFile, match=r"'gone.pth' does not exist"):
        load_official("voldit", **given)


@pytest.mark.parametrize(
    ("part", "other", "told"),
    [
        ("denoiser_checkpoint", "cardiodit/dit.pth", "looks like cardiodit denoiser|shape"),
        ("denoiser_checkpoint", "medlord/ldm.pth", "looks like medlord denoiser"),
        ("denoiser_checkpoint", "voldit/stage1.pth", "looks like a VQ-GAN first stage"),
        ("stage1_checkpoint", "medlord/stage1.pth", "missing"),
    ],
)
def test_a_checkpoint_of_another_family_is_named(part, other, told):
    with pytest.raises(BadInput, match=told):
        load_official("voldit", **(files("voldit") | {part: REFERENCE / other}))


def test_missing_and_unexpected_keys_are_named(copy):
    folder = copy("voldit")
    target = folder / "voldit" / "dit.pth"
    content = torch.load(target, weights_only=True)
    del content["ema"]
    content["model"]["surprise"] = content["model"].pop("blocks.1.attn.qkv.bias")
    torch.save(content, target)
    with pytest.raises(BadInput, match=r"missing blocks\.1\.attn\.qkv\.bias; unexpected surprise"):
        load_official("voldit", **files("voldit", folder=folder))


def test_a_shape_that_the_yaml_contradicts_is_named(copy):
    folder = copy("voldit")
    edit(folder / "voldit" / "dit.yaml", lambda t: t["dit"]["params"].update(mlp_ratio=2.0))
    with pytest.raises(BadInput, match=r"blocks.0.mlp.fc1.weight of shape \(192, 48\)"):
        load_official("voldit", **files("voldit", folder=folder))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t["dit"]["params"].update(pach_size=2), "did you mean 'patch_size'"),
        (lambda t: t["dit"].update(sheduler={}), "did you mean 'scheduler'"),
        (lambda t: t.update(dits={}), "did you mean 'dit'"),
        (lambda t: t["dit"]["params"].update(patch_size=3), "does not divide by patch_size"),
        (lambda t: t["dit"]["params"].update(depth="deep"), "depth"),
        (lambda t: t["dit"]["params"].pop("depth"), "depth"),
        (lambda t: t["dit"]["scheduler"].update(schedule="cosin"), "schedule"),
        (lambda t: t["dit"].pop("scheduler"), "no scheduler"),
        (lambda t: t.update(stage1=t.pop("dit")), "section dit or model"),
    ],
)
def test_a_wrong_yaml_says_what_was_meant(copy, change, told):
    folder = copy("voldit")
    edit(folder / "voldit" / "dit.yaml", change)
    with pytest.raises(BadInput, match=told):
        load_official("voldit", **files("voldit", folder=folder))


def test_a_file_that_is_no_yaml_says_so(copy):
    folder = copy("voldit")
    (folder / "voldit" / "dit.yaml").write_text("a: [b")
    with pytest.raises(UnusableFile, match=r"'dit.yaml' is not YAML"):
        load_official("voldit", **files("voldit", folder=folder))


def test_an_unknown_family_and_half_an_adapter_are_refused():
    with pytest.raises(BadInput, match="did you mean 'voldit'"):
        load_official("voldyt", **files("voldit"))
    half = files("voldit") | {"adapter_config": REFERENCE / "voldit" / "tgca.yaml"}
    with pytest.raises(BadInput, match="both or neither"):
        load_official("voldit", **half)


def test_ema_lies_over_the_raw_weights_and_plain_state_dicts_are_valid(tmp_path):
    content = torch.load(REFERENCE / "voldit" / "dit.pth", weights_only=True)
    key = "blocks.0.attn.qkv.weight"
    assert not torch.equal(content["model"][key], content["ema"]["shadow"][key])
    used = read_weights(REFERENCE / "voldit" / "dit.pth")
    assert torch.equal(used[key], content["ema"]["shadow"][key])
    for name, saved in (
        ("plain", content["model"]),
        ("state_dict", {"state_dict": content["model"]}),
        ("ddp", {"model": {f"module.{k}": v for k, v in content["model"].items()}}),
    ):
        torch.save(saved, tmp_path / f"{name}.pth")
        assert torch.equal(read_weights(tmp_path / f"{name}.pth")[key], content["model"][key])


def test_latents_of_another_size_are_refused():
    model = load_official("voldit", **files("voldit"))
    with pytest.raises(BadInput, match=r"latent of shape \(8, 8, 8, 6\)"):
        model.denoise(torch.zeros(1, 8, 8, 8, 6), torch.zeros(1, dtype=torch.int64))
    unet = load_official("medlord", **files("medlord"))
    with pytest.raises(BadInput, match="divide by 2"):
        unet.denoise(torch.zeros(1, 8, 8, 8, 7), torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize(("family", "adapter"), [("voldit", "tgca"), ("medlord", "controlnet")])
def test_conditions_that_do_not_fit_are_refused(family, adapter):
    model = load_official(family, **files(family, adapter))
    latent = torch.zeros(1, *((8, 8, 8, 4) if family == "voldit" else (8, 8, 8, 8)))
    step = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(BadInput, match="condition of 5 channels"):
        model.denoise(latent, step, condition=torch.zeros(1, 5, 16, 16, 16))
    channels = model.adapter.embedder.inputs
    with pytest.raises(BadInput, match="same grid|image grid"):
        model.denoise(latent, step, condition=torch.zeros(1, channels, 12, 16, 16))


def test_a_condition_without_an_adapter_is_refused():
    model = load_official("voldit", **files("voldit"))
    with pytest.raises(BadInput, match="without an adapter"):
        model.sample_latent(
            torch.zeros(1, 8, 8, 8, 4), steps=2, condition=torch.zeros(1, 1, 64, 64, 32)
        )


def test_too_little_memory_names_need_and_option():
    model = load_official("voldit", **files("voldit"))
    with pytest.raises(BadInput, match="at least .* GB.*--memory-gb"):
        model.decode(torch.zeros(1, 8, 8, 8, 4), memory_gb=0.001)


@pytest.mark.parametrize("family", ["voldit", "cardiodit", "medlord"])
def test_the_scale_factor_comes_from_the_yaml_or_from_the_call(family):
    given = files(family)
    assert load_official(family, **given, scale_factor=2.5).scale_factor == 2.5
    parts = [given["stage1_config"], given["denoiser_config"]]
    assert read_config(family, *parts).scale_factor == (1.0 if family == "voldit" else 1.7)


LATER_VOLDIT = """
model:
  params:
    input_size: [64, 64, 32]
    patch_size: 2
    in_channels: 8
    hidden_size: 768
    depth: 24
    num_heads: 12
    class_dropout_prob: 0.1
    num_classes: 0
    learn_sigma: false
    flash_attention: true
    attn_drop: 0.1
    mlp_drop: 0.1
    voxel_spacing: [1.0,1.0,1.0]
    self_conditioning: false
scheduler: {schedule: cosine, num_train_timesteps: 1000, prediction_type: v_prediction,
            zero_terminal_snr: false}
training: {scale_factor: 1.11, normalize_latents: false}
optim: {lr: 1.0e-4}
"""
CARDIODIT_STAGE1 = """
model:
  params:
    spatial_dims: 3
    in_channels: 1
    out_channels: 1
    num_channels: [128, 256, 256]
    num_res_channels: [128, 256, 256]
    num_res_layers: 2
    downsample_parameters:
      - [2, 4, 1, 1]
      - [2, 4, 1, 1]
      - [[2, 2, 1], [4, 4, 1], 1, [1, 1, 0]]
    upsample_parameters:
      - [[2, 2, 1], [4, 4, 1], 1, [1, 1, 0], [0, 0, 0]]
      - [2, 4, 1, 1, 0]
      - [2, 4, 1, 1, 0]
    num_embeddings: 4096
    embedding_dim: 8
    epsilon: 1e-5
discriminator: {params: {num_channels: 64}}
losses: {perceptual_weight: 0.2}
wandb: {offline: false}
"""
CARDIODIT_B = """
model:
  params: {input_size: [10, 28, 28, 8], patch_size: [1, 4, 4, 2], in_channels: 8,
           hidden_size: 1024, depth: 12, num_heads: 16, mlp_ratio: 4.0, class_dropout_prob: 0.0,
           num_classes: 0, learn_sigma: false, flash_attention: true}
scheduler: {schedule: cosine, num_train_timesteps: 300, prediction_type: v_prediction}
training: {scale_factor: 1.0}
"""
MEDLORD_FIRST = """
ldm:
  base_lr: 0.000020
  params: {spatial_dims: 3, in_channels: 8, out_channels: 8, num_res_blocks: 2,
           num_channels: [64,128,256,512], attention_levels: [False, False, True, True],
           with_conditioning: False, num_head_channels: [0,0,32,32], use_flash_attention: True}
  scheduler: {schedule: cosine, num_train_timesteps: 300, prediction_type: v_prediction}
"""
MEDLORD_CONTROLNET = """
controlnet:
  condition_keys: [aorta, atrium_l, atrium_r, myocardium, ventricle_l, ventricle_r]
  params: {spatial_dims: 3, in_channels: 8, num_res_blocks: 2, num_channels: [64,128,256,512],
           attention_levels: [False, False, True, True], with_conditioning: True,
           num_head_channels: [0, 0, 32, 32], r: 0.5, conditioning_embedding_in_channels: 6,
           conditioning_embedding_num_channels: [32,64], initial_stride: 2,
           use_flash_attention: True}
pretrained_model: {params: {spatial_dims: 3}}
ldm: {scheduler: {schedule: cosine}}
training: {scale_factor: 1.0, control_dropout: 0.1}
"""


@pytest.fixture
def written(tmp_path):
    def write(*texts):
        paths = [tmp_path / f"{i}.yaml" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return paths

    return write


def test_published_yaml_files_of_all_versions_are_read(written):
    stage1 = REFERENCE / "voldit" / "stage1.yaml"
    later = read_config("voldit", stage1, *written(LATER_VOLDIT))
    assert (later.denoiser.depth, later.denoiser.mlp_drop, later.scale_factor) == (24, 0.1, 1.11)
    cine = read_config("cardiodit", *written(CARDIODIT_STAGE1, CARDIODIT_B))
    assert cine.stage1.factor == (8, 8, 4)
    assert cine.denoiser.grid == (10, 7, 7, 4)
    first = read_config("medlord", stage1, *written(MEDLORD_FIRST, MEDLORD_CONTROLNET))
    assert first.adapter.widths == (32, 64, 128, 256)
    assert first.adapter.with_conditioning


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self_conditioning: false", "self_conditioning: true"),
        ("normalize_latents: false", "normalize_latents: true"),
        ("optim:", "scheduler_type: flow_matching\noptim:"),
    ],
)
def test_options_of_development_versions_are_refused_not_ignored(written, old, new):
    stage1 = REFERENCE / "voldit" / "stage1.yaml"
    with pytest.raises(BadInput, match="as in the published models"):
        read_config("voldit", stage1, *written(LATER_VOLDIT.replace(old, new)))
