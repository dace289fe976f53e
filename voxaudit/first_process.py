"""What the other processes of ``torchrun`` wait for: files that the first of them writes."""

import time
from collections.abc import Callable

from audit.errors import RunBroken

PATIENCE_S = 3600.0
POLL_S = 0.2


def wait_until(ready: Callable[[], bool], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Wait until the first process has written something.

    Args:
        ready: Whether it is there, whole.
        what: What is waited for, for the message.
        patience_s: After how many seconds it will not come any more.

    Raises:
        RunBroken: It did not come.
    """
    deadline = time.monotonic() + patience_s
    while not ready():
        if time.monotonic() > deadline:
            raise RunBroken(
                f"{what} did not come from the first process within {patience_s / 60:.0f} minutes",
                "it to finish",
                "See what it says and run the same command again: it makes only what is missing",
            )
        time.sleep(POLL_S)
