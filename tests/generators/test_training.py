"""The parts of training: losses that fall, averages, rates, dropout, and refusals."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from micro import micro_recipe

from audit.cohort import Cohort, cohort_of
from audit.errors import BadInput, RunBroken
from audit.ledger import Ledger
from audit.phantoms import heart_cohort, thorax_cohort
from generators.checkpoint import read_checkpoint
from generators.hardware import AUTOCAST
from generators.latent_generator import LatentGenerator
from generators.models.cardiodit import CardioDiT
from generators.models.ldm import LDM
from generators.models.medlord import MedLoRD
from generators.recipe import Denoiser, Optimization
from generators.seeds import Draw, derive_seed
from generators.training import denoiser as denoiser_module
from generators.training.augment import augment
from generators.training.batches import Plan
from generators.training.denoiser import drop_channels, drop_labels
from generators.training.ema import Ema
from generators.training.history import read_lines
from generators.training.rates import rate_factor

TABLE = "embedding_table.weight"


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return cohort_of("train", list(thorax_cohort(4, size=32)))


def losses(folder: Path, stage: str, name: str) -> list[float]:
    return [line[name] for line in read_lines(folder / stage / "history.jsonl")]


def test_the_micro_model_learns_and_books_its_phases(cohort: Cohort, tmp_path: Path) -> None:
    recipe = micro_recipe(
        "medlord",
        stage1={"steps": 40, "learning_rate": 0.005, "spectral_weight": 0.1, "quantize_after": 30},
        denoiser={"steps": 30, "learning_rate": 0.01, "batch_size": 4},
    )
    ledger = Ledger()
    generator = MedLoRD(recipe)
    generator.fit(cohort, folder=tmp_path, ledger=ledger, cpu=True)
    stage1 = losses(tmp_path, "stage1", "l1")
    assert np.mean(stage1[24:30]) < 0.85 * stage1[0]
    denoiser = losses(tmp_path, "denoiser", "denoiser")
    assert np.mean(denoiser[-6:]) < 0.9 * np.mean(denoiser[:6])
    phases = {record.phase: record for record in ledger.records()}
    assert {"stage1_train", "encode_latents", "denoiser_train"} <= set(phases)
    assert phases["denoiser_train"].work["volumes"] == 120
    report = generator.record["codebook"]
    assert report["codes"] == 64
    assert 0 <= report["dead"] < 64


def test_a_nan_loss_stops_and_names_the_last_good_checkpoint(
    cohort: Cohort, tmp_path: Path
) -> None:
    recipe = micro_recipe("ldm", stage1={"steps": 6, "checkpoint_every": 2})
    generator = LDM(recipe)

    def poison(stage: str, step: int) -> None:
        if (stage, step) == ("stage1", 2):
            with torch.no_grad():
                next(generator.model.parameters()).fill_(float("nan"))  # type: ignore[union-attr]

    with pytest.raises(RunBroken, match=r"not finite at step 3.*stage1/last.ckpt"):
        generator.fit(cohort, folder=tmp_path, cpu=True, on_step=poison)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    cohort: Cohort, tmp_path: Path
) -> None:
    generator = LDM(micro_recipe("ldm", denoiser={"steps": 2, "checkpoint_every": 1}))

    def spoil(stage: str, step: int) -> None:  # the last step has a finite loss and no next one
        if (stage, step) == ("denoiser", 0):
            parameter = next(iter(generator.model.denoiser.parameters()))  # type: ignore[union-attr]
            parameter.register_hook(lambda gradient: gradient * float("nan"))

    told = r"gradient of denoiser is not finite at step 1.*denoiser/last.ckpt"
    with pytest.raises(RunBroken, match=told):
        generator.fit(cohort, folder=tmp_path, cpu=True, on_step=spoil)
    assert read_checkpoint(tmp_path / "denoiser" / "last.ckpt")["step"] == 1
    assert all(p.isfinite().all() for p in generator.model.parameters())  # type: ignore[union-attr]


def test_sharded_weights_are_refused_not_ignored(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(BadInput, match="USE_FSDP asks for weights sharded.*sharded: true in the"):
        LDM(micro_recipe("ldm")).fit(cohort, cpu=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"denoiser": {"sharded": True, "precision": "fp16"}}, "fp16.*precision: bf16"),
        ({"denoiser": {"sharded": True, "keep_every": 1}}, "keep_every with sharded weights"),
        ({"adapter": {"steps": 1, "sharded": True}}, "a sharded adapter"),
    ],
)
def test_what_sharded_weights_cannot_do_is_refused_before_training(
    changes: dict[str, Any], told: str, cohort: Cohort
) -> None:
    with pytest.raises(BadInput, match=told):
        LDM(micro_recipe("ldm", **changes)).fit(cohort, cpu=True)


def test_a_cine_too_short_for_the_discriminator_is_refused() -> None:
    hearts = cohort_of("train", list(heart_cohort(2, size=32, frames=8)))
    recipe = micro_recipe("cardiodit", stage1={"adversarial_weight": 0.1})
    with pytest.raises(BadInput, match="at least 24 along each axis.*discriminator_layers"):
        CardioDiT(recipe).fit(hearts, cpu=True)


def test_one_process_has_nothing_to_shard(cohort: Cohort, tmp_path: Path) -> None:
    for sharded in (False, True):
        recipe = micro_recipe("ldm", denoiser={"sharded": sharded})
        LDM(recipe).fit(cohort, folder=tmp_path / str(sharded), cpu=True)
    one, other = (read_lines(tmp_path / f / "denoiser/history.jsonl") for f in ("False", "True"))
    assert one == other


def test_another_recipe_does_not_continue_a_training(cohort: Cohort, tmp_path: Path) -> None:
    LDM(micro_recipe("ldm")).fit(cohort, folder=tmp_path, cpu=True)
    other = micro_recipe("ldm", stage1={"learning_rate": 0.1})
    with pytest.raises(BadInput, match="trained with other settings or data"):
        LDM(other).fit(cohort, folder=tmp_path, cpu=True)


def test_accumulation_gives_the_loss_curve_of_whole_batches(cohort: Cohort, tmp_path: Path) -> None:
    for parts in (1, 2):
        recipe = micro_recipe("ldm", denoiser={"batch_size": 4, "accumulate": parts})
        LDM(recipe).fit(cohort, folder=tmp_path / str(parts), cpu=True)
    one, two = (losses(tmp_path / str(parts), "denoiser", "denoiser") for parts in (1, 2))
    assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_autocast_computes_in_its_precision_and_scales_for_fp16(
    precision: str, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()
    whole = denoiser_module.Denoise.forward

    def watch(self: Any, *arguments: Any) -> torch.Tensor:
        made = whole(self, *arguments)
        seen.add(made.dtype)
        return made

    monkeypatch.setattr(denoiser_module.Denoise, "forward", watch)
    before = LDM(micro_recipe("ldm"))
    before.build(cohort)
    recipe = micro_recipe("ldm", denoiser={"precision": precision, "checkpoint_every": 1})
    generator = LDM(recipe)
    generator.fit(cohort, folder=tmp_path, cpu=True)
    assert seen == {AUTOCAST[precision]}
    assert np.isfinite(losses(tmp_path, "denoiser", "denoiser")).all()
    assert _copy(generator.model.denoiser) != _copy(before.model.denoiser)  # type: ignore[union-attr]
    state = read_checkpoint(tmp_path / "denoiser" / "last.ckpt")["scaler"]
    assert ("scale" in state) == (precision == "fp16")


def test_fp16_skips_a_step_that_overflows_and_lowers_its_scale(
    cohort: Cohort, tmp_path: Path
) -> None:
    recipe = micro_recipe("ldm", denoiser={"precision": "fp16", "checkpoint_every": 1})
    generator = LDM(recipe)
    file, seen = tmp_path / "denoiser" / "last.ckpt", []

    def spoil(stage: str, step: int) -> None:
        if stage == "denoiser":
            seen.append((read_checkpoint(file)["scaler"]["scale"], _copy(generator.model.denoiser)))
        if (stage, step) == ("denoiser", 0):  # the next gradient leaves the range of fp16
            parameter = next(iter(generator.model.denoiser.parameters()))
            parameter.register_hook(lambda gradient: gradient * float("inf"))

    generator.fit(cohort, folder=tmp_path, cpu=True, on_step=spoil)
    assert seen[1][0] == seen[0][0] / 2
    assert seen[1][1] == seen[0][1]


def test_tensorboard_gets_every_loss_and_the_sample_pictures(
    cohort: Cohort, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = micro_recipe("ldm", tensorboard=True, denoiser={"steps": 4, "picture_every": 2})
    LDM(recipe).fit(cohort, folder=tmp_path, cpu=True)
    for stage, name in (("stage1", "l1"), ("denoiser", "denoiser"), ("denoiser", "gradient_norm")):
        events = EventAccumulator(str(tmp_path / stage / "tensorboard"))
        events.Reload()
        shown = events.Scalars(name)
        assert [e.value for e in shown] == pytest.approx(losses(tmp_path, stage, name))
        assert [e.step for e in shown] == list(range(len(shown)))
    pictures = events.Images("sample")
    assert [(p.step, p.width, p.height) for p in pictures] == [(1, 32, 32), (3, 32, 32)]


def test_classes_are_learned_dropped_and_followed(cohort: Cohort, tmp_path: Path) -> None:
    from generators.models.voldit import VolDiT

    grouped = [replace(case, group="ab"[i % 2]) for i, case in enumerate(cohort)]
    recipe = micro_recipe(
        "voldit",
        data={"class_labels": True},
        model={"denoiser": {"class_dropout_prob": 0.5}},
        denoiser={"steps": 8, "learning_rate": 0.005},
        adapter=None,
    )
    generator = VolDiT(recipe)
    start: dict[str, torch.Tensor] = {}

    def remember(stage: str, step: int) -> None:
        if (stage, step) == ("denoiser", 0):
            start["table"] = generator.model.denoiser.y_embedder.state_dict()[TABLE].clone()

    generator.fit(cohort_of("train", grouped), folder=tmp_path, cpu=True, on_step=remember)
    moved = (generator.model.denoiser.y_embedder.state_dict()[TABLE] != start["table"]).any(dim=1)
    assert moved.tolist() == [True, True, True]  # both classes, and the one that stands for none
    made = {
        scale: list(VolDiT.load(tmp_path).sample(2, seed=0, guidance=scale)) for scale in (1, 3)
    }
    assert [case.group for case in made[1]] == ["a", "b"]
    assert not np.array_equal(made[1][0].image.array, made[3][0].image.array)


def test_gradient_checkpointing_changes_no_loss(cohort: Cohort, tmp_path: Path) -> None:
    for family in ("ldm", "voldit"):
        curves = []
        for on in (False, True):
            folder = tmp_path / f"{family}-{on}"
            recipe = micro_recipe(family, denoiser={"gradient_checkpointing": on})
            from generators.protocol import GENERATORS

            GENERATORS.load(family)(recipe).fit(cohort, folder=folder, cpu=True)
            curves.append(losses(folder, "denoiser", "denoiser"))
        assert curves[1] == pytest.approx(curves[0], rel=1e-4)


def test_an_adapter_trains_on_a_frozen_denoiser(cohort: Cohort, tmp_path: Path) -> None:
    from generators.models.voldit import VolDiT

    generator = VolDiT(micro_recipe("voldit"))
    seen: dict[str, Any] = {}

    def watch(stage: str, step: int) -> None:
        if stage == "adapter" and step == 0:
            seen["denoiser"] = _copy(generator.model.denoiser)  # type: ignore[union-attr]
            seen["adapter"] = _copy(generator.model.adapter)  # type: ignore[union-attr]

    generator.fit(
        cohort, folder=tmp_path, structures=("heart", "lung_left"), cpu=True, on_step=watch
    )
    assert _copy(generator.model.denoiser) == seen["denoiser"]  # type: ignore[union-attr]
    assert _copy(generator.model.adapter) != seen["adapter"]  # type: ignore[union-attr]


def test_an_adapter_may_train_the_last_blocks_and_nothing_else(
    cohort: Cohort, tmp_path: Path
) -> None:
    from generators.models.voldit import VolDiT

    recipe = micro_recipe(
        "voldit", model={"adapter": {"finetune_last_n_blocks": 1}}, adapter={"ema_decay": 0.5}
    )
    generator = VolDiT(recipe)
    seen: dict[str, bytes] = {}

    def watch(stage: str, step: int) -> None:
        if (stage, step) == ("adapter", 0):
            seen.update(_by_name(generator.model))

    generator.fit(cohort, folder=tmp_path, structures=("heart",), cpu=True, on_step=watch)
    now = _by_name(generator.model)
    changed = {name for name, value in now.items() if value != seen[name]}
    tuned = ("adapter.", "denoiser.blocks.1.", "denoiser.final_layer.")
    assert all(name.startswith(tuned) for name in changed)
    assert all(any(name.startswith(part) for name in changed) for part in tuned)

    again = VolDiT(recipe)  # a finished training is read back, finetuned blocks included
    again.fit(cohort, folder=tmp_path, structures=("heart",), cpu=True)
    assert _by_name(again.model) == now


def _by_name(module: torch.nn.Module | None) -> dict[str, bytes]:
    assert module is not None
    return {name: value.cpu().numpy().tobytes() for name, value in module.state_dict().items()}


def _copy(module: torch.nn.Module) -> list[bytes]:
    return [value.detach().numpy().tobytes() for value in module.state_dict().values()]


def test_every_case_appears_once_per_pass_whatever_the_batches() -> None:
    plan = Plan(cases=6, batch_size=4, pieces=2, seed=1)
    seen = [
        case for step in range(3) for piece in range(2) for _, _, case in plan.batch(step, piece)
    ]
    assert sorted(seen[:6]) == list(range(6))
    assert sorted(seen[6:]) == list(range(6))


def test_a_batch_that_does_not_split_is_refused() -> None:
    with pytest.raises(BadInput, match="does not split into 2 parts"):
        Plan(cases=4, batch_size=3, pieces=2, seed=0)


def test_the_average_warms_up_and_then_follows_its_decay() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0.0)
    average = Ema(network, 0.5)
    with torch.no_grad():
        network.weight.fill_(1.0)
    average.update(network, 0)
    assert float(average.shadow["weight"]) == pytest.approx(1 - 1 / 10)
    average.shadow["weight"].zero_()
    average.update(network, 1000)
    assert float(average.shadow["weight"]) == pytest.approx(0.5)


def test_learning_rates_follow_their_closed_forms() -> None:
    settings = Optimization(epochs=10, batch_size=2, schedule="exponential", gamma=0.5)
    assert rate_factor(settings, 0, cases=4) == 1
    assert rate_factor(settings, 5, cases=4) == 0.25
    cosine = Optimization(steps=110, schedule="cosine", warmup_epochs=10, floor=0.01)
    assert rate_factor(cosine, 0, cases=1) == pytest.approx(0.1)
    assert rate_factor(cosine, 10, cases=1) == pytest.approx(1.0)
    assert rate_factor(cosine, 60, cases=1) == pytest.approx(0.505)
    assert rate_factor(cosine, 110, cases=1) == pytest.approx(0.01)


def test_condition_dropout_has_the_stated_rates() -> None:
    masks = torch.ones(4000, 2, 1, 1, 1, 1)
    kept = drop_channels(
        masks,
        Draw((0, "test", 0), range(4000)),
        Denoiser(condition_dropout=0.1, channel_dropout=0.2),
    )
    whole = float((kept.flatten(1).sum(1) == 0).float().mean())
    assert whole == pytest.approx(0.1 + 0.9 * 0.04, abs=0.02)
    assert float(kept.mean()) == pytest.approx(0.9 * 0.8, abs=0.02)


def test_labels_are_dropped_at_the_stated_rate_by_the_seed_of_each_sample() -> None:
    network: Any = SimpleNamespace(config=SimpleNamespace(num_classes=3, class_dropout_prob=0.2))
    labels = torch.arange(4000) % 3
    whole = drop_labels(labels, Draw((0, "test", 0), range(4000)), network)
    assert set(whole.tolist()) == {0, 1, 2, 3}
    assert torch.equal(whole[whole != 3], labels[whole != 3])
    assert float((whole == 3).float().mean()) == pytest.approx(0.2, abs=0.02)
    parts = [
        drop_labels(labels[part], Draw((0, "test", 0), part), network)
        for part in (range(1500), range(1500, 4000))
    ]
    assert torch.equal(torch.cat(parts), whole)  # two processes drop what one does


def test_labels_and_units_are_dropped_alike_whatever_else_draws_random_numbers(
    cohort: Cohort, tmp_path: Path
) -> None:
    from generators.models.voldit import VolDiT

    grouped = cohort_of("train", [replace(c, group="ab"[i % 2]) for i, c in enumerate(cohort)])
    recipe = micro_recipe(
        "voldit",
        data={"class_labels": True},
        model={"denoiser": {"class_dropout_prob": 0.5, "mlp_drop": 0.3}},
        denoiser={"steps": 6, "checkpoint_every": 6},
        adapter=None,
    )
    for draws in (0, 1):
        VolDiT(recipe).fit(
            grouped,
            folder=tmp_path / str(draws),
            cpu=True,
            on_step=lambda _stage, _step, draws=draws: torch.rand(draws),  # type: ignore[misc]
        )
    one, other = (losses(tmp_path / str(draws), "denoiser", "denoiser") for draws in (0, 1))
    assert one == other


def test_random_numbers_depend_on_the_place_alone() -> None:
    like = torch.zeros(2, 3)
    both = Draw((0, "a", 1), [0, 1]).normal(like)
    torch.testing.assert_close(Draw((0, "a", 1), [1]).normal(like[:1]), both[1:])
    assert not torch.equal(Draw((0, "a", 2), [0, 1]).normal(like), both)
    assert derive_seed(1, "a") == derive_seed(1, "a") != derive_seed(1, "b")


def test_augmentation_turns_flips_and_crops_all_frames_alike() -> None:
    recipe = micro_recipe("ldm")
    data = replace_data(recipe.data, rotate_degrees=5.0, rotate_probability=1.0, crop=(4, 8, 8))
    frame = torch.randn(1, 1, 8, 12, 12)
    image = frame.repeat(1, 3, 1, 1, 1)
    made = augment(image, data, np.random.default_rng(0))
    assert made.shape == (1, 3, 4, 8, 8)
    torch.testing.assert_close(made[:, 0], made[:, 2])
    flipped = augment(
        frame,
        replace_data(recipe.data, flip_axis="y", flip_probability=1.0),
        np.random.default_rng(0),
    )
    torch.testing.assert_close(flipped, frame.flip(3))


def replace_data(data: Any, **changes: Any) -> Any:
    return data.model_copy(update=changes)


def test_masks_without_labels_are_refused(cohort: Cohort) -> None:
    bare = cohort_of("train", [replace(case, labels=None) for case in cohort])
    with pytest.raises(BadInput, match="no label map"):
        LDM(micro_recipe("ldm")).fit(bare, structures=("heart",), cpu=True)


def test_a_latent_of_full_size_is_known_without_encoding(cohort: Cohort) -> None:
    import time

    for family, expected in (("medlord", (128, 128, 64)), ("ldm", (64, 128, 128))):
        generator = create(micro_recipe(family, data={"shape": [1, 256, 512, 512]}), cohort)
        start = time.perf_counter()
        shape = generator.latent_shape
        assert time.perf_counter() - start < 2
        assert shape[1:] == expected


@pytest.mark.parametrize("family", ["voldit", "ldm", "cardiodit"])
def test_the_known_latent_is_the_one_that_encoding_gives(family: str, cohort: Cohort) -> None:
    cine = cohort_of("train", list(heart_cohort(2, size=32, frames=4)))
    data = cohort if family == "voldit" else cine
    generator = create(micro_recipe(family), data)
    image = torch.from_numpy(generator.grid.image(data[0].image))[None]  # type: ignore[union-attr]
    model: Any = generator.model
    with torch.no_grad():
        encoded = model.encode(generator.family.to_model(image))
    assert generator.latent_shape == tuple(encoded.shape[1:])


def create(recipe: Any, cohort: Cohort) -> LatentGenerator:
    from generators.protocol import GENERATORS

    generator: Any = GENERATORS.load(recipe.family)(recipe)
    generator.build(cohort)
    return generator
