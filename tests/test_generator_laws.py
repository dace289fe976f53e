"""Laws that every generator obeys, ours, a folder of volumes, and the replay control."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit.cohort import Cohort, write_cohort
from audit.errors import BadInput
from audit.phantoms import heart_cohort, thorax_cohort
from generators.library import load
from generators.protocol import GENERATORS, VolumeGenerator

sys.path.insert(0, str(Path(__file__).parent / "generators"))
from micro import ADAPTER, micro_recipe

STRUCTURES = {"thorax": ("lung_left", "lung_right", "heart"), "heart": ("lv", "myocardium", "rv")}


@dataclass(frozen=True)
class Kind:
    """A generator as the laws see it: family, cohort, and whether it follows masks."""

    family: str
    data: str = "thorax"
    masks: bool = False
    control: bool = False

    def __str__(self) -> str:
        marks = [self.family, self.data, *["masks"] * self.masks, *["control"] * self.control]
        return "-".join(marks)


KINDS = (
    Kind("ldm"),
    Kind("ldm", "heart"),
    Kind("ldm", masks=True),
    Kind("ldm", "heart", masks=True, control=True),
    Kind("voldit"),
    Kind("voldit", masks=True),
    Kind("medlord", masks=True),
    Kind("cardiodit", "heart"),
    Kind("replay"),
    Kind("replay", masks=True),
    Kind("folder"),
)
CONDITIONAL = tuple(kind for kind in KINDS if kind.masks)


def fitted(kind: Kind, cohort: Cohort) -> VolumeGenerator:
    model = GENERATORS.load(kind.family)
    if kind.family in {"replay", "folder"}:
        generator = model()
        generator.fit(cohort)
        return generator
    control = {"model": {"condition_by": "controlnet"}, "adapter": ADAPTER}
    generator = model(micro_recipe(kind.family, **(control if kind.control else {})))
    generator.fit(cohort, seed=0, structures=STRUCTURES[kind.data] if kind.masks else None)
    if kind.masks:
        open_gates(generator.model)
    return generator


def open_gates(model: Any) -> None:
    """Stand in for long training: AdaLN gates and adapters start at zero, where no mask shows."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in [*model.denoiser.parameters(), *model.adapter.parameters()]:
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng)


@pytest.fixture(scope="module")
def cohorts() -> dict[str, Cohort]:
    return {
        "thorax": thorax_cohort(4, size=32, nodules=False),
        "heart": heart_cohort(4, size=32, frames=4),
    }


@pytest.fixture(scope="module")
def made(cohorts: dict[str, Cohort]) -> dict[Kind, VolumeGenerator]:
    return {kind: fitted(kind, cohorts[kind.data]) for kind in KINDS}


@pytest.fixture
def asked(made: dict[Kind, VolumeGenerator], cohorts: dict[str, Cohort]) -> Any:
    """sample(kind, n, seed, generator=None, conditions=None) -> cases."""

    def sample(
        kind: Kind, n: int, seed: int, generator: Any = None, conditions: Cohort | None = None
    ) -> list[Any]:
        if conditions is None and kind.masks:
            conditions = cohorts[kind.data]
        return list((generator or made[kind]).sample(n, seed=seed, conditions=conditions))

    return sample


def arrays(cases: list[Any]) -> Any:
    return np.stack([case.image.array for case in cases])


def test_no_generator_is_forgotten() -> None:
    assert {kind.family for kind in KINDS} == set(GENERATORS.names())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_follows_the_protocol(kind: Kind, made: dict[Kind, VolumeGenerator]) -> None:
    assert isinstance(made[kind], VolumeGenerator)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_same_seed_gives_the_same_volumes_and_another_seed_others(
    kind: Kind, asked: Any
) -> None:
    first = arrays(asked(kind, 2, 7))
    np.testing.assert_array_equal(first, arrays(asked(kind, 2, 7)))
    if not (kind.family == "replay" and kind.masks):  # there the mask alone decides
        assert np.abs(first - arrays(asked(kind, 2, 8))).max() > 0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_longer_run_starts_with_the_shorter_one(kind: Kind, asked: Any) -> None:
    short, long = asked(kind, 1, 7), asked(kind, 3, 7)
    assert [case.id for case in long[:1]] == [case.id for case in short]
    np.testing.assert_allclose(arrays(long[:1]), arrays(short), atol=_tolerance(short))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_volumes_are_finite_and_have_the_geometry_of_the_training_cohort(
    kind: Kind, asked: Any, cohorts: dict[str, Cohort]
) -> None:
    real = cohorts[kind.data][0].image
    for case in asked(kind, 3, 7):
        assert np.isfinite(case.image.array).all()
        assert case.image.array.dtype == np.float32
        assert case.image.shape == real.shape
        assert case.image.spacing_mm == pytest.approx(real.spacing_mm)
        assert case.image.frame_ms == real.frame_ms


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_saved_generator_gives_the_same_volumes_from_its_own_folder_alone(
    kind: Kind, made: dict[Kind, VolumeGenerator], asked: Any, tmp_path: Path
) -> None:
    before = asked(kind, 2, 7)
    made[kind].save(tmp_path / "first")
    shutil.move(tmp_path / "first", tmp_path / "moved")
    with OpenedFiles() as opened:
        after = asked(kind, 2, 7, generator=load(tmp_path / "moved"))
    np.testing.assert_allclose(arrays(after), arrays(before), atol=_tolerance(before))
    outside = [path for path in opened if not _allowed(path, tmp_path / "moved")]
    assert outside == []


@pytest.mark.parametrize("kind", CONDITIONAL, ids=str)
def test_a_conditional_generator_responds_to_its_condition_and_names_it(
    kind: Kind, asked: Any, cohorts: dict[str, Cohort]
) -> None:
    conditions = cohorts[kind.data]
    turned = conditions.subset([2, 3])
    first, second = asked(kind, 3, 7), asked(kind, 3, 7, conditions=turned)
    assert [case.condition for case in first] == list(conditions.ids[:3])
    assert [case.condition for case in second] == [turned.ids[0], turned.ids[1], turned.ids[0]]
    assert np.abs(arrays(first) - arrays(second)).max() > 0


OFFICIAL = [kind for kind in KINDS if kind.family in {"voldit", "cardiodit", "medlord"}]


@pytest.mark.parametrize("kind", OFFICIAL, ids=str)
def test_a_trained_generator_computes_the_same_from_its_export_in_the_official_layout(
    kind: Kind, made: dict[Kind, VolumeGenerator], cohorts: dict[str, Cohort], tmp_path: Path
) -> None:
    from generators import load_official
    from generators.convert import FILES, export_official

    generator: Any = made[kind]
    generator.save(tmp_path / "own")
    export_official(tmp_path / "own", tmp_path / "official")
    names = {"stage1": "stage1", **FILES[kind.family]}
    if not kind.masks:
        names.pop("adapter", None)
    given = {
        f"{part}_{what}": tmp_path / "official" / f"{name}.{suffix}"
        for part, name in names.items()
        for what, suffix in (("config", "yaml"), ("checkpoint", "pth"))
    }
    assert set(given.values()) == set((tmp_path / "official").iterdir())
    ours, theirs = generator.model, load_official(kind.family, **given)
    assert theirs.scale_factor == pytest.approx(ours.scale_factor)
    noise = torch.randn((1, *generator.latent_shape), generator=torch.Generator().manual_seed(0))
    condition = None
    if kind.masks:
        labels = cohorts[kind.data][0].labels
        masks = torch.from_numpy(generator.grid.masks(generator.grid.codes(labels)))[None]
        condition = generator.family.to_model(masks)
    latents = [m.sample_latent(noise, steps=2, condition=condition) for m in (ours, theirs)]
    torch.testing.assert_close(latents[1], latents[0])
    images = [
        m.decode(latent / m.scale_factor) for m, latent in zip((ours, theirs), latents, strict=True)
    ]
    torch.testing.assert_close(images[1], images[0])


@pytest.mark.parametrize("family", ["ldm", "voldit"])
def test_conditions_and_training_must_agree(
    family: str, made: dict[Kind, VolumeGenerator], cohorts: dict[str, Cohort]
) -> None:
    with pytest.raises(BadInput, match="trained on masks and got no conditions"):
        made[Kind(family, masks=True)].sample(1, seed=0)
    with pytest.raises(BadInput, match="conditions were given to an unconditional generator"):
        made[Kind(family)].sample(1, seed=0, conditions=cohorts["thorax"])


def test_a_folder_gives_out_no_volume_twice(made: dict[Kind, VolumeGenerator]) -> None:
    with pytest.raises(BadInput, match="5 volumes were asked of a folder of 4"):
        made[Kind("folder")].sample(5, seed=0)


def test_a_folder_answers_each_condition_with_the_volume_made_for_it(
    cohorts: dict[str, Cohort], tmp_path: Path
) -> None:
    from audit.cohort import Case

    asked_for = cohorts["thorax"].subset([0, 1])
    made = [
        Case(id=f"s{i}", subject=f"s{i}", image=case.image, condition=asked_for.ids[1 - i])
        for i, case in enumerate(asked_for)
    ]
    write_cohort(made, tmp_path)
    samples = list(GENERATORS.load("folder")(tmp_path).sample(2, seed=0, conditions=asked_for))
    assert [case.id for case in samples] == ["s1", "s0"]


def test_replay_shows_every_training_case_before_any_twice(
    made: dict[Kind, VolumeGenerator], cohorts: dict[str, Cohort]
) -> None:
    samples = list(made[Kind("replay")].sample(4, seed=3))
    shown = sorted(case.image.array.sum() for case in samples)
    assert shown == sorted(case.image.array.sum() for case in cohorts["thorax"])


def _tolerance(cases: list[Any]) -> float:
    """Batch size changes sums in float32; a codebook may then flip a code on a tie."""
    return float(np.ptp(arrays(cases))) * 1e-4


OPENED: list[str] = []
LISTENING: list[bool] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if LISTENING and event == "open" and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


class OpenedFiles:
    """Paths that Python opens within the block."""

    hooked = False

    def __enter__(self) -> list[str]:
        if not OpenedFiles.hooked:
            sys.addaudithook(_listen)
            OpenedFiles.hooked = True
        OPENED.clear()
        LISTENING.append(True)
        return OPENED

    def __exit__(self, *_: object) -> None:
        LISTENING.clear()


def _allowed(path: str, folder: Path) -> bool:
    """Its own folder, program code, and the operating system's own pseudo-files."""
    code = (str(folder), sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/usr")
    here = str(Path(__file__).parents[1])
    return path.startswith(code) or (path.startswith(here) and path.endswith((".py", ".pyc")))


def test_the_listener_would_notice_a_file_outside(tmp_path: Path) -> None:
    (tmp_path / "patient.txt").write_text("x")
    with OpenedFiles() as opened:
        (tmp_path / "patient.txt").read_text()
    assert any(not _allowed(path, tmp_path / "moved") for path in opened)
