"""Progress with an ETA on stderr: a bar on a terminal, a line every 30 s elsewhere."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LINE_EVERY_S = 30.0


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Pass items through and show how far along the loop is.

    Args:
        items: What to iterate over.
        label: What is being done, such as ``sampling``.
        total: Number of items where ``len`` does not say.
    """
    count = total if total is not None else len(items)  # type: ignore[arg-type]
    start = last = time.monotonic()
    terminal = sys.stderr.isatty()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        due = now - last >= (0.2 if terminal else LINE_EVERY_S)
        if due or (done == count and now - start >= 1):
            last = now
            _show(label, done, count, now - start, terminal=terminal)


def is_first_process() -> bool:
    """Whether this process speaks and writes for all that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print one line of progress on stderr, where this is the first process."""
    if not is_first_process():
        return
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _show(label: str, done: int, count: int, elapsed_s: float, *, terminal: bool) -> None:
    eta_s = elapsed_s / done * max(count - done, 0)
    text = f"  {label}  {done}/{count}  {elapsed_s:.0f} s  ETA {eta_s:.0f} s"
    if terminal and is_first_process():
        end = "\n" if done >= count else ""
        sys.stderr.write(f"\r{text}\x1b[K{end}")
        sys.stderr.flush()
    elif not terminal:
        say(text)
