"""The engine of training: Accelerate.

It wraps networks for DDP under ``torchrun`` and is a thin layer over torch.distributed otherwise.
A sharded stage is split by torch's own FSDP instead (``generators.training.sharding``):
Accelerate's takes no CPU and would want the checkpoints and averages that the loop has.
"""

import os
from typing import Any

import torch

from audit.errors import BadInput


def open_engine(*, cpu: bool) -> Any:
    """An Accelerator; its process-wide state is renewed where an earlier one used the GPU.

    Raises:
        BadInput: The environment asks for sharded weights, which the recipe decides.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    for sharded in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{sharded}", "false").lower() == "true":
            raise BadInput(
                f"ACCELERATE_USE_{sharded} asks for weights sharded over processes",
                "the recipe to say so",
                "Start with torchrun and set sharded: true in the recipe's denoiser",
            )
    alone = not torch.distributed.is_initialized()
    if cpu and alone and torch.cuda.is_available():
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=cpu)
