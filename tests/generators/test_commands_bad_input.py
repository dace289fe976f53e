"""Bad input ends ``train``, ``sample`` and ``convert`` with one line and exit code 2."""

import json
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
from audit.errors import BadInput
from audit.phantoms import thorax_cohort
from audit.volume import Volume
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
    tree["model"]["denoiser"]["in_channels"] = 8
    file.write_text(yaml.safe_dump(tree))
    assert "8 in_channels; expected 4, the first stage's" in refused("train", "-c", file)
    tree["model"]["denoiser"]["in_channels"] = 4
    tree["model"]["denoiser"]["input_size"] = [8, 8, 4]
    file.write_text(yaml.safe_dump(tree))
    assert re.search("give latents of.*input_size", refused("train", "-c", file))


def cropped(labels):
    return replace(labels, array=np.ascontiguousarray(labels.array[:, 10:20, 8:20, 8:20]))


def coarse(labels):
    return replace(labels, spacing_mm=tuple(10 * s for s in labels.spacing_mm))


def bare(labels):
    return replace(cropped(labels), spacing_known=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (cropped, r"10×12×12 .* mm, which covers 4.4% of it; expected the field of view of 32×32"),
        (coarse, "at 100×110×110 mm, 99% of its structures outside"),
        (bare, "10×12×12, without a stated spacing"),
    ],
)
def test_a_mask_on_another_grid_is_refused_at_the_command_line_and_in_python(
    refused, trained, cohort, tmp_path, change, told
):
    """A condition is a mask of its own here: where it has an image, `read_labels` compares both."""
    from audit.volume import write_label_map

    folder = tmp_path / "masks"
    folder.mkdir()
    changed = [replace(case, labels=change(case.labels)) for case in cohort]
    for case in changed:
        write_label_map(case.labels, folder / f"{case.id}.nii.gz")
    (folder / "labels.json").write_text(json.dumps(changed[0].labels.names))
    line = refused("sample", trained, "--n", 1, "--out", tmp_path / "out", "--conditions", folder)
    assert re.search(told, line), line
    assert "condition 1 lies on another grid" in line
    assert not any(case.id in line for case in cohort)
    with pytest.raises(BadInput, match=told):
        list(VolDiT.load(trained).sample(1, seed=0, conditions=cohort_of("conditions", changed)))


def test_a_mask_at_another_resolution_is_brought_to_the_grid_as_images_are(trained, cohort):
    fine = [
        replace(
            case.labels,
            array=case.labels.array.repeat(2, 1).repeat(2, 2).repeat(2, 3),
            spacing_mm=tuple(s / 2 for s in case.labels.spacing_mm),
        )
        for case in cohort
    ]
    finer = [
        replace(case, labels=labels, image=labels_as_image(labels))
        for case, labels in zip(cohort, fine, strict=True)
    ]
    generator = VolDiT.load(trained)
    own, resampled = (
        next(iter(generator.sample(1, seed=0, conditions=cohort_of("conditions", cases))))
        for cases in (list(cohort), finer)
    )
    np.testing.assert_allclose(resampled.image.array, own.image.array, atol=1e-3)


def labels_as_image(labels):
    return Volume(array=labels.array[None].astype(np.float32), spacing_mm=labels.spacing_mm)


def test_a_still_mask_for_a_cine_is_refused():
    from audit.phantoms import heart_cohort
    from generators.models.ldm import LDM

    hearts = cohort_of("train", list(heart_cohort(2, size=32, frames=4)))
    generator = LDM(micro_recipe("ldm", data={"structures": ["lv"]}))
    generator.build(hearts)
    labels = hearts[0].labels
    still = replace(hearts[0], labels=replace(labels, array=labels.array[:1]))
    with pytest.raises(BadInput, match="condition 1 is a still mask; expected one for each of 4"):
        list(generator.sample(1, seed=0, conditions=cohort_of("conditions", [still])))


def test_tensors_of_masks_must_be_on_the_image_grid_with_all_channels(cohort):
    generator = VolDiT(micro_recipe("voldit", data={"structures": ["heart"]}))
    generator.build(cohort)
    latent = torch.zeros(1, *generator.latent_shape)
    with pytest.raises(BadInput, match="condition of 2 channels"):
        generator.model.sample_latent(latent, steps=1, condition=torch.zeros(1, 2, 32, 32, 32))
    with pytest.raises(BadInput, match="mask on a grid of .* the image grid of this latent"):
        generator.model.sample_latent(latent, steps=1, condition=torch.zeros(1, 1, 32, 32, 16))
