"""Ledger: which phase ran when, what it did and what energy it took. Thin version."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.result import PhaseRecord, write_text


@contextmanager
def open_ledger(folder: Path, **options: Any) -> Iterator["Ledger"]:
    """A ledger that is kept in a run folder."""
    ledger = Ledger()
    try:
        yield ledger
    finally:
        lines = "\n".join(r.model_dump_json() for r in ledger.records())
        write_text(Path(folder) / "ledger.jsonl", lines + "\n")


class Ledger:
    """Books exclusive wall time and work to phases."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._work: dict[str, dict[str, float]] = {}
        self._open: list[str] = []
        self._since = time.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Book the time of a block to a phase; an inner phase's time is not counted twice."""
        self._close()
        self._open.append(name)
        try:
            yield
        finally:
            self._close()
            self._open.pop()

    def work(self, **amounts: float) -> None:
        """Add to what the open phase did: ``volumes=1, voxels=...``."""
        if self._open:
            done = self._work.setdefault(self._open[-1], {})
            for name, amount in amounts.items():
                done[name] = done.get(name, 0.0) + amount

    def records(self) -> tuple[PhaseRecord, ...]:
        """What was booked so far."""
        return tuple(
            PhaseRecord(phase=name, duration_s=seconds, work=self._work.get(name, {}))
            for name, seconds in self._seconds.items()
        )

    def _close(self) -> None:
        now = time.monotonic()
        if self._open:
            self._seconds[self._open[-1]] = (
                self._seconds.get(self._open[-1], 0.0) + now - self._since
            )
        self._since = now
