"""The loop that all stages share: batches, backward, clipping, averages, checkpoints, logs.

Autocast and the fp16 scaler are here and not in the engine, because a first stage steps two
optimizers with one scaler.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audit.errors import BadInput, RunBroken
from audit.progress import track
from generators.checkpoint import read_checkpoint, write_checkpoint
from generators.hardware import AUTOCAST, sound_convolutions
from generators.memory import memory_to_spare
from generators.recipe import Optimization
from generators.seeds import Draw, derive_seed, seeded_globally
from generators.training.batches import Item, Items, Plan, loader
from generators.training.course import Course
from generators.training.ema import Ema
from generators.training.engine import open_engine
from generators.training.history import History
from generators.training.rates import rate_factor
from generators.training.state import load_stage_state, stage_state

LOWER_TRAINING = "Raise accumulate, set gradient_checkpointing: true or precision: bf16"

Losses = dict[str, torch.Tensor]


@dataclass(kw_only=True)
class Trainee:
    """One network with its optimizer.

    Attributes:
        network: What is stored in checkpoints.
        call: What is called in training: the network, or a module around it.
        learning_rate: Peak.
        averaged: Whether its weights are averaged, where the settings give a decay.
        ema: The averages, once training began.
    """

    network: torch.nn.Module
    call: torch.nn.Module
    learning_rate: float
    averaged: bool = True
    ema: Ema | None = None


@dataclass(kw_only=True)
class Stage:
    """What differs between the stages.

    Attributes:
        name: Folder and label of the stage.
        settings: Batch size, steps, learning rate, ...
        trainees: Networks by name; each loss of that name trains it.
        items: Training cases as tensors.
        losses: (callables by name, batch, draw, step) to (a loss per trainee, values to log).
        picture: Draws a gray image (y, x) in [0, 1] for TensorBoard, or None.
        picture_every: Steps between pictures; 0 for none.
        keep_every: Steps between generators that are kept; 0 for none.
        sharded: Whether the processes split the one network that is trained.
    """

    name: str
    settings: Optimization
    trainees: dict[str, Trainee]
    items: Items
    losses: Callable[[Mapping[str, Any], Item, Draw, int], tuple[Losses, Losses]]
    picture: Callable[[], torch.Tensor] | None = None
    picture_every: int = 0
    keep_every: int = 0
    sharded: bool = False


def run_stage(course: Course, stage: Stage) -> None:
    """Train until the last step, from the last checkpoint if there is one.

    Raises:
        RunBroken: A loss or gradient is NaN or infinite; names the last good checkpoint.
        BadInput: The folder holds a training with other settings, or the memory does not suffice.
    """
    engine = open_engine(cpu=course.cpu)
    with seeded_globally(course.seed, stage.name):
        run = _Run(course, stage, engine)
        first = run.resume()
        total = stage.settings.total_steps(len(course.cohort))
        if first < total:
            with memory_to_spare(f"training {stage.name}", LOWER_TRAINING):
                run.train(range(first, total))
        run.finish()


class _Run:
    """One stage in progress."""

    def __init__(self, course: Course, stage: Stage, engine: Any) -> None:
        self.course, self.stage, self.engine = course, stage, engine
        self.file = course.folder / stage.name / "last.ckpt"
        self.sharded = stage.sharded and engine.num_processes > 1
        self.calls = {}
        self.optimizers = {}
        for name, trainee in stage.trainees.items():
            trainee.network.train()
            self.calls[name] = self.wrap(trainee)
            self.optimizers[name] = torch.optim.AdamW(
                [p for p in trainee.network.parameters() if p.requires_grad],
                lr=trainee.learning_rate,
                weight_decay=stage.settings.weight_decay,
            )
            if stage.settings.ema_decay is not None and trainee.averaged:
                trainee.ema = Ema(trainee.network, stage.settings.ema_decay)
        fp16 = stage.settings.precision == "fp16"
        self.scaler = torch.amp.GradScaler(engine.device.type, enabled=fp16)

    def wrap(self, trainee: Trainee) -> Any:
        """What is called in training: split over the processes, or one whole copy on each."""
        if not self.sharded:
            return self.engine.prepare(trainee.call)
        from generators.training.sharding import shard

        shard(trainee.network, self.engine.device, self.engine.num_processes)
        return trainee.call.to(self.engine.device)

    def resume(self) -> int:
        """Load the last checkpoint; returns the step to go on with."""
        if not self.file.is_file():
            return 0
        state = read_checkpoint(self.file)
        if state["key"] != self.course.key(self.stage.name):
            raise BadInput(
                f"{self.stage.name} in this folder was trained with other settings or data",
                "the same recipe, cohort and seed",
                "Choose another --out, or delete the folder",
            )
        load_stage_state(
            state, self.stage.trainees, self.optimizers, self.scaler, sharded=self.sharded
        )
        return int(state["step"])

    def train(self, steps: range) -> None:
        """Run the remaining steps."""
        settings, course = self.stage.settings, self.course
        engine = self.engine
        plan = Plan(
            cases=len(course.cohort),
            batch_size=settings.batch_size,
            pieces=engine.num_processes * settings.accumulate,
            seed=derive_seed(course.seed, self.stage.name),
        )
        batches = loader(
            self.stage.items,
            plan,
            steps,
            rank=engine.process_index,
            accumulate=settings.accumulate,
            workers=course.recipe.data.workers,
        )
        history = History(
            self.file.parent,
            first_step=steps.start,
            tensorboard=course.recipe.tensorboard,
            write=engine.is_main_process,
        )
        try:
            for step in track(steps, f"training {self.stage.name}"):
                history.add(step, self.step(step, batches))
                course.ledger.work(steps=1, volumes=settings.batch_size)
                self.draw_picture(step, history)
                self.keep(step + 1)
                if (step + 1) % settings.checkpoint_every == 0 or step + 1 == steps.stop:
                    history.flush()
                    self.save(step + 1)
                    course.ledger.check_budget()  # here, where stopping loses no step
                if course.on_step is not None:
                    course.on_step(self.stage.name, step)
        finally:
            history.close()

    def step(self, step: int, batches: Iterator[Item]) -> dict[str, float]:
        """One optimizer step over all micro-batches; returns what to log."""
        settings = self.stage.settings
        sums: dict[str, torch.Tensor] = {}
        for piece in range(settings.accumulate):
            batch = {k: v.to(self.engine.device) for k, v in next(batches).items()}
            with ExitStack() as stack:
                stack.enter_context(sound_convolutions(self.engine.device, settings.precision))
                if piece + 1 < settings.accumulate and not self.sharded:
                    for call in self.calls.values():
                        stack.enter_context(self.engine.no_sync(call))
                losses, logs = self.losses(batch, step)
                for loss in losses.values():
                    self.scaler.scale(loss / settings.accumulate).backward()
            for name, value in {**logs, **losses}.items():
                share = value.detach() / settings.accumulate
                sums[name] = sums[name] + share if name in sums else share
        logged = {name: float(value) for name, value in self.engine.reduce(sums, "mean").items()}
        self.refuse_nan(step, logged)
        logged["gradient_norm"] = self.update(step)
        return logged

    def losses(self, batch: Item, step: int) -> tuple[Losses, Losses]:
        """Losses of one micro-batch under autocast."""
        precision = self.stage.settings.precision
        draw = Draw((self.course.seed, self.stage.name, step), batch["slot"].tolist())
        draw.seed_layers()
        with torch.autocast(
            self.engine.device.type, dtype=AUTOCAST[precision], enabled=precision != "no"
        ):
            return self.stage.losses(self.calls, batch, draw, step)

    def update(self, step: int) -> float:
        """Clip, step, average; returns the gradient norm of the first trainee."""
        settings = self.stage.settings
        factor = rate_factor(settings, step, len(self.course.cohort))
        norms = []
        for name, optimizer in self.optimizers.items():
            trainee = self.stage.trainees[name]
            self.scaler.unscale_(optimizer)
            norm = torch.nn.utils.clip_grad_norm_(
                [p for p in trainee.network.parameters() if p.grad is not None],
                settings.gradient_clip or math.inf,
            )
            norms.append(float(getattr(norm, "full_tensor", lambda norm=norm: norm)()))
            if not self.scaler.is_enabled():  # which leaves out such a step
                self.refuse_nan(step, {f"the gradient of {name}": norms[-1]})
            for group in optimizer.param_groups:
                group["lr"] = trainee.learning_rate * factor
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
            if trainee.ema is not None:
                trainee.ema.update(trainee.network, step)
        self.scaler.update()
        return norms[0]

    def refuse_nan(self, step: int, logged: dict[str, float]) -> None:
        """Stop before a broken loss or gradient reaches the weights."""
        broken = sorted(name for name, value in logged.items() if not math.isfinite(value))
        if broken:
            good = f"{_told(self.file)}" if self.file.is_file() else "none was written yet"
            raise RunBroken(
                f"{self.stage.name}: {', '.join(broken)} is not finite at step {step}",
                "finite numbers",
                f"Last good checkpoint: {good}. Lower learning_rate or set precision: bf16 or no",
            )

    def save(self, step: int) -> None:
        """Write a checkpoint; ``step`` is the next one to run."""
        main = self.engine.is_main_process
        state = stage_state(
            self.stage.trainees, self.optimizers, self.scaler, sharded=self.sharded, keep=main
        )
        if main:
            key = self.course.key(self.stage.name)
            write_checkpoint(self.file, {"key": key, "step": step, **state})
        self.engine.wait_for_everyone()

    def draw_picture(self, step: int, history: History) -> None:
        """Show what the network makes at this step."""
        stage = self.stage
        due = stage.picture_every and (step + 1) % stage.picture_every == 0 and not self.sharded
        if due and stage.picture is not None and self.engine.is_main_process:
            with torch.no_grad():
                history.picture(step, "sample", stage.picture().float().cpu())

    def keep(self, done: int) -> None:
        """Keep a whole generator as it is after ``done`` steps, with the averaged weights."""
        due = self.stage.keep_every and done % self.stage.keep_every == 0
        if due and self.course.keep is not None and self.engine.is_main_process:
            with ExitStack() as stack:
                for trainee in self.stage.trainees.values():
                    if trainee.ema is not None:
                        stack.enter_context(trainee.ema.applied(trainee.network))
                self.course.keep(self.stage.name, done)

    def finish(self) -> None:
        """Leave the averaged weights in the networks, ready to use."""
        for trainee in self.stage.trainees.values():
            if trainee.ema is not None:
                trainee.ema.write_to(trainee.network)
            trainee.network.eval()


def _told(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"
