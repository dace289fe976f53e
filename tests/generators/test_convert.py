"""What is exported loads as an official model; what is imported samples."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from audit.errors import BadInput
from generators import load_official
from generators.convert import export_official, import_official, write_official
from generators.library import load
from generators.models import medlord, voldit
from generators.official import read_config
from generators.protocol import GENERATORS

REFERENCE = Path(__file__).parents[1] / "reference"
NAMES = {
    "voldit": ("dit", "tgca"),
    "cardiodit": ("dit", None),
    "medlord": ("ldm", "controlnet"),
}


def files(folder, family):
    denoiser, adapter = NAMES[family]
    names = {"stage1": "stage1", "denoiser": denoiser, "adapter": adapter}
    return {
        f"{part}_{kind}": folder / f"{name}.{suffix}"
        for part, name in names.items()
        if name
        for kind, suffix in (("config", "yaml"), ("checkpoint", "pth"))
    }


def official(family):
    return files(REFERENCE / family, family)


def config_of(given, scale_factor):
    return read_config(
        given["stage1_config"].parent.name,
        given["stage1_config"],
        given["denoiser_config"],
        given.get("adapter_config"),
        scale_factor,
    )


@pytest.mark.parametrize("family", NAMES)
def test_an_export_has_the_official_keys_and_loads_back(family, tmp_path):
    given = official(family)
    model = load_official(family, **given)
    write_official(family, model, config_of(given, model.scale_factor), tmp_path)
    for part, path in given.items():
        if not part.endswith("checkpoint"):
            continue
        theirs = torch.load(path, weights_only=True)
        ours = torch.load(tmp_path / path.name, weights_only=True)
        assert ours.keys() == theirs.keys()
        assert ours["model"].keys() == theirs["model"].keys()
        assert {k: v.shape for k, v in ours["model"].items()} == {
            k: v.shape for k, v in theirs["model"].items()
        }
        if "ema" in theirs:
            assert ours["ema"]["shadow"].keys() == theirs["ema"]["shadow"].keys()
    again = load_official(family, **files(tmp_path, family))
    assert again.scale_factor == model.scale_factor
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


@pytest.mark.parametrize("family", NAMES)
def test_official_files_become_a_generator_that_samples_and_exports(family, tmp_path):
    masks = {"voldit": ("nodule",), "cardiodit": (), "medlord": ("lung_left", "nodule")}[family]
    import_official(
        family,
        official(family),
        tmp_path / "own",
        shape=(1, 32, 32, 32) if family == "medlord" else None,
        spacing_mm=(2.0, 1.0, 1.0),
        structures=masks,
    )
    generator = load(tmp_path / "own")
    assert generator.grid.structures == masks
    if family == "cardiodit":
        (case,) = generator.sample(1, seed=0, steps=2)
        assert case.image.shape == (1, 16, 3, 32, 32)
        assert case.image.spacing_mm == (2.0, 1.0, 1.0)
    written = export_official(tmp_path / "own", tmp_path / "official")
    assert {p.name for p in written} == {p.name for p in official(family).values()}
    load_official(family, **files(tmp_path / "official", family))


def test_medlords_grid_must_be_given_and_mask_channels_named(tmp_path):
    given = {k: v for k, v in official("medlord").items() if not k.startswith("adapter")}
    with pytest.raises(BadInput, match="--shape"):
        import_official("medlord", given, tmp_path)
    with pytest.raises(BadInput, match="multiples of"):
        import_official("medlord", given, tmp_path, shape=(1, 30, 32, 32))
    with pytest.raises(BadInput, match="0 structures for an adapter of 1 mask"):
        import_official("voldit", official("voldit"), tmp_path)


def test_what_the_official_code_cannot_express_is_refused(tmp_path):
    given = official("voldit")
    model = load_official("voldit", **given)
    config = config_of(given, 1.0)
    uneven = config.denoiser.model_copy(update={"patch_size": (2, 2, 1)})
    with pytest.raises(BadInput, match="one number for all axes"):
        write_official("voldit", model, config.model_copy(update={"denoiser": uneven}), tmp_path)


def test_exported_yaml_holds_only_what_the_official_constructors_take(tmp_path):
    given = official("voldit")
    model = load_official("voldit", **given)
    write_official("voldit", model, config_of(given, 1.7), tmp_path)
    tree = yaml.safe_load((tmp_path / "dit.yaml").read_text())["dit"]
    theirs = yaml.safe_load((REFERENCE / "voldit" / "dit.yaml").read_text())["dit"]
    assert tree["params"] == theirs["params"]
    assert tree["scheduler"] == theirs["scheduler"]


@pytest.fixture
def voxaudit():
    """The commands, in this process; errors are raised."""
    import voxaudit

    app = voxaudit.build_app()
    return lambda *words: app([str(w) for w in words], standalone_mode=False)


def test_the_command_imports_and_exports(tmp_path, voxaudit):
    own, out = tmp_path / "own", tmp_path / "official"
    options = [
        word
        for name, path in official("cardiodit").items()
        for word in (f"--{name.replace('_', '-')}", path)
    ]
    voxaudit("convert", "--from", "cardiodit", *options, "--out", own, "--frame-ms", "30")
    assert json.loads((own / "generator.json").read_text())["frame_ms"] == 30
    voxaudit("convert", own, "--out", out)
    assert (out / "dit.pth").is_file()
    with pytest.raises(BadInput, match="neither or both"):
        voxaudit("convert", own, "--from", "voldit", "--out", out)
    with pytest.raises(BadInput, match="--stage1-config"):
        voxaudit("convert", "--from", "voldit", "--out", out)
    with pytest.raises(BadInput, match="4 positive numbers"):
        voxaudit("convert", "--from", "cardiodit", *options, "--out", out, "--shape", "1,2,x")


def test_models_from_a_cohorts_grid_fit_it():
    given = official("voldit")
    config = config_of(given, 1.0)
    free = config.model_copy(
        update={
            "denoiser": config.denoiser.model_copy(update={"input_size": None}), "adapter": None
        }
    )  # fmt: skip
    made = voldit.fitted(free, (1, 32, 48, 64), 3, 2)
    assert made.denoiser.input_size == (8, 6, 4)
    assert made.denoiser.num_classes == 2
    assert made.adapter.condition_channels == 3
    assert voldit.multiple(free) == (1, 16, 16, 16)
    with pytest.raises(BadInput, match="input_size"):
        voldit.fitted(config, (1, 32, 48, 64), 0, 0)
    with pytest.raises(BadInput, match="12 frames"):
        voldit.fitted(free, (12, 32, 32, 32), 0, 0)
    unet = config_of(official("medlord"), 1.0).model_copy(update={"adapter": None})
    made = medlord.fitted(unet, (1, 32, 32, 32), 4, 0)
    model = medlord.build(made)
    latent = torch.zeros(1, 8, 8, 8, 8)
    condition = torch.zeros(1, 4, 32, 32, 32)
    assert model.denoise(latent, torch.zeros(1).long(), condition=condition).shape == latent.shape


@pytest.mark.parametrize("family", NAMES)
def test_axes_go_there_and_back(family):
    kind = GENERATORS.load(family).family
    frames = 3 if family == "cardiodit" else 1
    volume = torch.arange(2 * frames * 4 * 5 * 6.0).reshape(1, 2, frames, 4, 5, 6)
    there = kind.to_model(volume)
    assert torch.equal(kind.from_model(there), volume)
    order = (6, 5, 4, 3) if frames == 3 else (6, 5, 4)
    assert there.shape[2:] == order
