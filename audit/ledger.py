"""Ledger: which phase ran when, what it did, what energy and memory it took.

Phases are re-entrant (sampling and decoding interleave) and exclusive: entering an inner phase
pauses the outer one. Everything between phases is booked to ``unattributed``. In a run folder the
ledger is an append-only ``ledger.jsonl`` of increments (``audit.ledger_lines``), written at every
boundary of a phase and at every heartbeat: a kill loses one heartbeat at most, and a resumed run
adds up.
"""

import copy
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.energy_sources import COMPONENTS, EnergySource
from audit.energy_sources.none import NoSource
from audit.errors import AuditError
from audit.host import host_key
from audit.ledger_lines import J_PER_KWH, Line, Total, file_of_rank, fold, read_lines, read_others
from audit.memory_peaks import peaks_since_last_look
from audit.result import PhaseRecord

__all__ = ["J_PER_KWH", "BudgetReached", "Ledger", "open_ledger", "read_lines"]

UNATTRIBUTED = "unattributed"
HEARTBEAT_S = 30.0


class BudgetReached(AuditError):
    """The run stopped cleanly because its energy budget is spent."""


class Ledger:
    """Books exclusive time, energy, work and peak memory to phases.

    Without arguments it is a cheap in-memory ledger with no meter.

    Attributes:
        source: Where joules come from.
        budget_kwh: ``check_budget`` raises once this much is spent over all attempts; None: never.
        rank: Of this process; every process but the first books work and no time.
    """

    def __init__(
        self,
        source: EnergySource | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        synchronize: Callable[[], None] = lambda: None,
        file: Path | None = None,
        rank: int = 0,
        budget_kwh: float | None = None,
    ) -> None:
        self.source: EnergySource = source or NoSource()
        self.budget_kwh = budget_kwh
        self.rank = rank
        self._clock, self._synchronize = clock, synchronize
        self._file = file
        self._metered = not isinstance(self.source, NoSource)
        self._attempt = f"{os.getpid()}-{time.time_ns()}"
        self._lock = threading.RLock()
        self._open: list[str] = []
        self._work: dict[str, float] = {}
        self._totals = fold(read_lines(file))
        self._since = clock()
        self._joules = self.source.read_j()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Book a block to a phase, also when it raises; an inner phase's share is not counted."""
        self._synchronize()
        with self._lock:
            self.settle()
            self._open.append(name)
        try:
            yield
        finally:
            self._synchronize()
            with self._lock:
                self.settle()
                self._open.pop()

    def work(self, **amounts: float) -> None:
        """Add to what the open phase did: ``volumes``, ``voxels``, ``steps``, ``pairs``, ..."""
        with self._lock:
            for name, amount in amounts.items():
                self._work[name] = self._work.get(name, 0.0) + amount

    def check_budget(self) -> None:
        """Call between samples or steps, where stopping loses nothing.

        Raises:
            BudgetReached: The energy of all attempts has passed the budget.
        """
        if self.budget_kwh is None:
            return
        self.settle()
        spent = sum(kwh or 0.0 for record in self.records() for kwh in record.energy_kwh.values())
        if spent >= self.budget_kwh:
            raise BudgetReached(
                f"{spent:.3g} kWh are spent",
                f"at most {self.budget_kwh:.3g} kWh",
                "Run the same command with a larger --max-kwh to continue",
            )

    def settle(self) -> None:
        """Book all since the last call to the open phase, and write it down."""
        with self._lock:
            now, joules = self._clock(), self.source.read_j()
            if self._open or self._file is not None:
                self._book(now - self._since, joules)
            self._since, self._joules = now, joules
            self._work = {}

    def records(self) -> tuple[PhaseRecord, ...]:
        """Every phase so far, over all attempts and processes, in order of appearance."""
        with self._lock:
            totals = copy.deepcopy(self._totals)
        for line in read_others(self._file):
            totals.setdefault(line["phase"], Total()).add(line)
        return tuple(total.record(name) for name, total in totals.items())

    def _book(self, duration_s: float, joules: dict[str, float | None]) -> None:
        line: Line = {
            "phase": self._open[-1] if self._open else UNATTRIBUTED,
            "attempt": self._attempt,
            "rank": self.rank,
            "duration_s": duration_s if self.rank == 0 else 0.0,
            "energy_j": {},
            "method": {},
            "host": host_key() if self._metered else "",
            "work": self._work,
            "peak_memory_bytes": peaks_since_last_look(),
        }
        if self._metered or self.rank == 0:
            before = self._joules
            line["energy_j"] = {c: _difference(joules.get(c), before.get(c)) for c in COMPONENTS}
            line["method"] = dict(self.source.methods)
        elif not self._work:
            return
        self._totals.setdefault(line["phase"], Total()).add(line)
        if self._file is not None:
            _append(self._file, line)


@contextmanager
def open_ledger(
    folder: Path,
    *,
    source: EnergySource | None = None,
    heartbeat_s: float = HEARTBEAT_S,
    budget_kwh: float | None = None,
) -> Iterator[Ledger]:
    """A ledger kept in ``folder/ledger.jsonl``, with codecarbon as its meter unless one is given.

    One process a node meters, or every rank would bill the whole node; every process books its
    work, in a file of its own. Ranks are read as torchrun and SLURM give them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rank = _rank("RANK", "SLURM_PROCID", "LOCAL_RANK", "SLURM_LOCALID")
    metered = _rank("LOCAL_RANK", "SLURM_LOCALID") == 0
    meter = (source or _default_source()) if metered else NoSource()
    ledger = Ledger(
        meter,
        synchronize=_synchronize_gpus,
        file=file_of_rank(folder, rank),
        rank=rank,
        budget_kwh=budget_kwh,
    )
    stop = threading.Event()
    pulse = threading.Thread(
        target=_heartbeat, args=(ledger, stop, heartbeat_s), name="ledger-heartbeat", daemon=True
    )
    pulse.start()
    try:
        yield ledger
    finally:
        stop.set()
        pulse.join()
        ledger.settle()
        meter.close()


def _heartbeat(ledger: Ledger, stop: threading.Event, period_s: float) -> None:
    while not stop.wait(period_s):
        ledger.settle()


def _default_source() -> EnergySource:
    from audit.energy_sources.codecarbon_offline import CodecarbonSource

    return CodecarbonSource()


def _rank(*names: str) -> int:
    """The first of these variables that is set: torchrun's before SLURM's; 0 without any."""
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def _append(file: Path, line: Line) -> None:
    """Write one line; where a kill cut the last one in half, on a line of its own."""
    with file.open("a+b") as stream:
        if stream.tell() > 0:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        stream.write(json.dumps(line).encode() + b"\n")


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def _synchronize_gpus() -> None:
    """Wait for queued kernels, or they would be billed to the next phase."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            torch.cuda.synchronize(index)
