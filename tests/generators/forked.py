"""Processes that start at once: forked from one that has imported what takes seconds to import.

Each is a process of its own: it can be killed, and takes part in a group of ``torchrun``.
"""

import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["accelerate", "generators.models.ldm", "audit.phantoms", "pandas", "scipy.stats"]
)


def start(
    words: Sequence[object], environment: Mapping[str, str], said: Path, place: Path | None = None
) -> BaseProcess:
    """Start what ``python WORDS`` would: a script, or ``-m MODULE``, with its arguments.

    Args:
        words: As on a command line, without the interpreter.
        environment: Its whole environment.
        said: File that gets what it prints.
        place: Folder that it works in; this one unless given.
    """
    given = ([str(word) for word in words], dict(environment), said, place or Path.cwd())
    process = SERVER.Process(target=_become, args=given)
    process.start()
    return process


def end(process: BaseProcess, *, within_s: float = 300) -> int | None:
    """Wait for it.

    Returns:
        Its exit code; minus the signal's number where it was killed; None where it did not end.
    """
    process.join(within_s)
    code = process.exitcode
    if code is None:
        process.kill()
    return code


def by_two(
    words: Sequence[object], environment: Mapping[str, str], place: Path
) -> tuple[list[int | None], list[str]]:
    """Exit codes and messages of two processes under torchrun's environment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    said = [place.with_name(f"{place.name}-said-{rank}") for rank in range(2)]
    workers = [
        start(
            words,
            {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
             "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            said[rank],
        )
        for rank in range(2)
    ]  # fmt: skip
    return [end(worker) for worker in workers], [file.read_text() for file in said]


def _become(words: list[str], environment: dict[str, str], said: Path, place: Path) -> None:
    os.chdir(place)
    with said.open("a") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" in environment:  # torch has read it already
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
