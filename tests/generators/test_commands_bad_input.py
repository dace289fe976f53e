"""Bad input ends ``train``, ``sample`` and ``convert`` with one line and exit code 2."""

import pickle
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from micro import micro_recipe

from audit.cohort import Cohort, cohort_of, write_cohort
from audit.phantoms import thorax_cohort
from generators.models.voldit import VolDiT

REFERENCE = Path(__file__).parents[1] / "reference"
OFFICIAL = {
    "stage1-config": "stage1.yaml",
    "stage1-checkpoint": "stage1.pth",
    "denoiser-config": "dit.yaml",
    "denoiser-checkpoint": "dit.pth",
}


class Bomb:
    """Unpickling this would run code."""

    def __reduce__(self):
        return (print, ("executed",))


@pytest.fixture
def refused(monkeypatch, capsys):
    """The one line with which a command ends."""
    from voxaudit import main

    def line(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["voxaudit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        told = [text for text in printed.err.splitlines() if text.startswith("voxaudit:")]
        assert ended.value.code == 2, printed
        assert len(told) == 1
        assert "Traceback" not in printed.err
        assert "executed" not in printed.out + printed.err
        return told[0]

    return line


def spoiled_yaml(change):
    def spoil(files: dict[str, Path]) -> None:
        tree = yaml.safe_load(files["denoiser-config"].read_text())
        change(tree["dit"]["params"])
        files["denoiser-config"].write_text(yaml.safe_dump(tree))

    return spoil


def code(files: dict[str, Path]) -> None:
    files["denoiser-checkpoint"].write_bytes(pickle.dumps(Bomb()))


def truncated(files: dict[str, Path]) -> None:
    file = files["stage1-checkpoint"]
    file.write_bytes(file.read_bytes()[:5000])


def other_family(files: dict[str, Path]) -> None:
    shutil.copy(REFERENCE / "medlord" / "ldm.pth", files["denoiser-checkpoint"])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoiled_yaml(lambda p: p.update(patch_size=3)), "does not divide by patch_size"),
        (spoiled_yaml(lambda p: p.update(hiden_size=8)), "did you mean 'hidden_size'"),
        (code, "could execute code"),
        (truncated, "truncated or no checkpoint"),
        (other_family, "looks like medlord denoiser"),
    ],
    ids=["patch", "yaml key", "code", "truncated", "other family"],
)
def test_official_files_that_cannot_be_used(refused, tmp_path, spoil, told):
    files = {option: tmp_path / name for option, name in OFFICIAL.items()}
    for file in files.values():
        shutil.copy(REFERENCE / "voldit" / file.name, file)
    spoil(files)
    words = [word for option, file in files.items() for word in (f"--{option}", file)]
    line = refused("convert", "--from", "voldit", *words, "--out", tmp_path / "own")
    assert re.search(told, line)
    assert str(tmp_path) not in line


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return cohort_of("train", list(thorax_cohort(2, size=32, nodules=False)))


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory) -> Path:
    """A generator that follows two structures."""
    folder = tmp_path_factory.mktemp("voldit") / "model"
    generator = VolDiT(micro_recipe("voldit"))
    generator.fit(cohort, folder=folder, structures=("lung_left", "heart"), cpu=True)
    return folder


@pytest.fixture
def masks(cohort, tmp_path):
    """A folder of conditions, their label maps changed."""

    def write(change=lambda labels: labels) -> Path:
        cases = [replace(case, labels=change(case.labels)) for case in cohort]
        write_cohort(cases, tmp_path / "masks")
        return tmp_path / "masks"

    return write


def test_conditions_that_do_not_fit_the_generator(refused, trained, masks, tmp_path):
    asked = ("sample", trained, "--n", 1, "--out", tmp_path / "out")
    assert "got no conditions" in refused(*asked)
    fewer = masks(lambda m: replace(m, array=m.mask("heart").astype(np.int16), names={"heart": 1}))
    assert "a label map lacks lung_left" in refused(*asked, "--conditions", fewer)


def test_a_damaged_generator_and_too_little_memory(refused, trained, masks, tmp_path):
    folder, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(trained, folder)
    asked = ("sample", folder, "--n", 1, "--out", out, "--conditions", masks())
    line = refused(*asked, "--memory-gb", 0.0001)
    assert re.search(r"at least [\d.e-]+ GB.*Raise --memory-gb", line)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "model.safetensors is truncated or damaged" in refused(*asked)
    card = folder / "generator.json"
    card.write_text(card.read_text().replace('"voldit"', '"medlord"'))
    assert "voxaudit:" in refused(*asked)


def test_a_recipe_with_an_unknown_key_or_another_latent_size(refused, cohort, tmp_path):
    write_cohort(cohort, tmp_path / "real")
    tree = micro_recipe("voldit").model_dump(mode="json")
    tree |= {"train": "real", "out": "model"}
    file = tmp_path / "train.yaml"
    file.write_text(yaml.safe_dump(tree | {"denoisr": {}}))
    assert "did you mean 'denoiser'" in refused("train", "-c", file)
    tree["model"]["denoiser"]["input_size"] = [8, 8, 4]
    file.write_text(yaml.safe_dump(tree))
    assert re.search("give latents of.*input_size", refused("train", "-c", file))


def test_masks_on_another_grid_or_of_other_channels(cohort):
    """At the command line masks are brought to the grid as images are; in Python they must fit."""
    from audit.errors import BadInput

    generator = VolDiT(micro_recipe("voldit"))
    config = generator.recipe.model_copy()
    generator.recipe = config.model_copy(
        update={"data": config.data.model_copy(update={"structures": ("heart",)})}
    )
    generator.build(cohort)
    latent = torch.zeros(1, *generator.latent_shape)
    with pytest.raises(BadInput, match="condition of 2 channels"):
        generator.model.sample_latent(latent, steps=1, condition=torch.zeros(1, 2, 32, 32, 32))
    with pytest.raises(BadInput, match="mask on a grid of .* the image grid of this latent"):
        generator.model.sample_latent(latent, steps=1, condition=torch.zeros(1, 1, 32, 32, 16))
