"""One training in a process of its own: to be killed, or to be one of several under torchrun."""

import os
import signal
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from micro import micro_recipe

from audit.phantoms import thorax_cohort
from generators.models.ldm import LDM


def main(folder: Path, kill_at: str, *, sharded: bool) -> None:
    torch.set_num_threads(1)
    recipe = micro_recipe(
        "ldm",
        stage1={"steps": 4, "checkpoint_every": 1, "adversarial_weight": 0.1,
                "adversarial_warmup_epochs": 1,
                "discriminator_channels": 4, "discriminator_layers": 1},
        denoiser={"steps": 4, "checkpoint_every": 1, "ema_decay": 0.9, "batch_size": 4,
                  "learning_rate": 0.001, "sharded": sharded, "gradient_clip": 1.0},
    )  # fmt: skip

    def die(stage: str, step: int) -> None:
        if f"{stage}:{step}" == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    generator = LDM(recipe)
    generator.fit(thorax_cohort(4, size=32), folder=folder, seed=3, cpu=True, on_step=die)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sharded=sys.argv[3:] == ["sharded"])
