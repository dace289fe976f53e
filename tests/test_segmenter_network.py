import json
import pickle
import warnings

import pytest
import torch

from audit.errors import BadInput, UnusableFile
from audit.phantoms import heart_cohort
from audit.preprocessing import fit_preprocessing
from audit.segmenter import obtain_labels
from audit.segmenter.network import load_network


class Threshold(torch.nn.Module):
    """Calls bright voxels LV: two classes, no weights to speak of."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x[:, :1], x[:, :1]], dim=1)


@pytest.fixture(scope="module")
def hearts():
    return heart_cohort(3, role="holdout", seed=50, frames=2)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "bright.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Threshold(), torch.zeros(1, 1, 4, 4, 4)), str(path))
    path.with_suffix(".json").write_text(json.dumps({"labels": {"lv": 3}}))
    return path


def test_a_torchscript_file_labels_the_synthetic_cases(script, hearts, workshop):
    labels = obtain_labels(
        train=hearts,
        holdout=hearts.subset([0]),
        synthetic=hearts.subset([1, 2]),
        preprocessing=fit_preprocessing(hearts),
        workshop=workshop,
        choice=script,
    )
    assert labels.source == "network"
    assert len(labels.params["weights_sha256"]) == 64
    assert 0 < labels.error.dice["lv"].value < 0.9
    assert labels.maps["synthetic"][0].names == {"lv": 3}
    assert labels.maps["holdout"][0].names == {"lv": 3, "myocardium": 2, "rv": 1}
    assert labels.segmented["holdout"][0].names == {"lv": 3}


def test_an_exported_program_is_read(tmp_path, hearts, workshop):
    path = tmp_path / "bright.pt2"
    example = (torch.zeros(2, 1, 16, 32, 32),)
    batch = torch.export.Dim("batch")
    program = torch.export.export(Threshold(), example, dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, str(path))
    path.with_suffix(".json").write_text(json.dumps({"labels": {"lv": 3}}))
    segmenter = load_network(path, hearts, fit_preprocessing(hearts), workshop)
    assert dict(segmenter.names) == {"lv": 3}
    assert not segmenter.temporal


def bundle(folder, definition):
    from monai.networks.nets import BasicUNet

    network = BasicUNet(spatial_dims=3, in_channels=1, out_channels=4, features=(4, 4, 4, 4, 4, 4))
    (folder / "models").mkdir(parents=True)
    (folder / "configs").mkdir()
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": definition}))
    outputs = {
        "pred": {"channel_def": {"0": "background", "1": "RV", "2": "myocardium", "3": "LV"}}
    }
    metadata = {"network_data_format": {"outputs": outputs, "inputs": {}}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return folder


PLAIN = {
    "_target_": "BasicUNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 4,
    "features": [4, 4, 4, 4, 4, 4],
}


def test_a_bundle_of_plain_values_is_read(tmp_path, hearts, workshop):
    folder = bundle(tmp_path / "bundle", PLAIN)
    segmenter = load_network(folder, hearts, fit_preprocessing(hearts), workshop)
    assert dict(segmenter.names) == {"rv": 1, "myocardium": 2, "lv": 3}


@pytest.mark.parametrize(
    "definition", [PLAIN | {"_target_": "os.system"}, PLAIN | {"in_channels": "$__import__('os')"}]
)
def test_a_bundle_that_brings_code_is_refused(tmp_path, hearts, workshop, definition):
    folder = bundle(tmp_path / "bundle", definition)
    with pytest.raises(UnusableFile, match="not a plain class of monai"):
        load_network(folder, hearts, fit_preprocessing(hearts), workshop)


def test_a_pickle_is_not_run(tmp_path, hearts, workshop):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UnusableFile, match=r"'trap\.pt' cannot be loaded as a network"):
        load_network(tmp_path / "trap.pt", hearts, fit_preprocessing(hearts), workshop)
    assert not (tmp_path / "sprung").exists()


def test_classes_that_do_not_fit_are_named(script, hearts, workshop):
    script.with_suffix(".json").write_text(json.dumps({"labels": {"lv": 3, "rv": 1}}))
    with pytest.raises(UnusableFile, match="expected 3 classes, background first"):
        load_network(script, hearts, fit_preprocessing(hearts), workshop)


def test_unnamed_classes_are_refused(script, hearts, workshop):
    script.with_suffix(".json").unlink()
    with pytest.raises(BadInput, match="nothing names the classes"):
        load_network(script, hearts.subset([]), fit_preprocessing(hearts), workshop)
