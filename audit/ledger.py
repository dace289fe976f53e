"""Ledger: which phase ran when, what it did, what energy and memory it took.

Phases are re-entrant (sampling and decoding interleave) and exclusive: entering an inner phase
pauses the outer one. Everything between phases is booked to ``unattributed``. In a run folder the
ledger is an append-only ``ledger.jsonl`` of increments, written at every boundary of an outermost
phase and at every heartbeat: a kill loses one heartbeat at most, and a resumed run adds up.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.energy_sources import COMPONENTS, EnergySource
from audit.energy_sources.none import NoSource
from audit.errors import AuditError
from audit.result import PhaseRecord

UNATTRIBUTED = "unattributed"
HEARTBEAT_S = 30.0
J_PER_KWH = 3.6e6


class BudgetReached(AuditError):
    """The run stopped cleanly because its energy budget is spent."""


@dataclass
class _Total:
    """Running sums of one phase."""

    duration_s: float = 0.0
    energy_j: dict[str, float | None] = field(default_factory=dict)
    method: dict[str, str] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: dict[str, int | None] = field(default_factory=dict)
    attempts: set[str] = field(default_factory=set)

    def add(self, line: dict[str, Any]) -> None:
        self.duration_s += line["duration_s"]
        for component, joules in line["energy_j"].items():
            known = self.energy_j.get(component, 0.0)
            self.energy_j[component] = None if joules is None or known is None else known + joules
        self.method.update(line["method"])
        for name, amount in line["work"].items():
            self.work[name] = self.work.get(name, 0.0) + amount
        for place, peak in line["peak_memory_bytes"].items():
            known_peak = self.peak_memory_bytes.get(place)
            peaks = [p for p in (peak, known_peak) if p is not None]
            self.peak_memory_bytes[place] = max(peaks) if peaks else None
        self.attempts.add(line["attempt"])

    def record(self, phase: str) -> PhaseRecord:
        return PhaseRecord(
            phase=phase,
            duration_s=self.duration_s,
            energy_kwh={c: None if j is None else j / J_PER_KWH for c, j in self.energy_j.items()},
            method=self.method,
            work=self.work,
            peak_memory_bytes=self.peak_memory_bytes,
            attempts=len(self.attempts),
        )


class Ledger:
    """Books exclusive time, energy, work and peak memory to phases.

    Without arguments it is a cheap in-memory ledger with no meter.

    Attributes:
        source: Where joules come from.
        budget_kwh: ``check_budget`` raises once this much is spent over all attempts; None: never.
    """

    def __init__(
        self,
        source: EnergySource | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        synchronize: Callable[[], None] = lambda: None,
        file: Path | None = None,
        lead: bool = True,
        budget_kwh: float | None = None,
    ) -> None:
        self.source: EnergySource = source or NoSource()
        self.budget_kwh = budget_kwh
        self._clock, self._synchronize = clock, synchronize
        self._file, self._lead = file, lead
        self._attempt = f"{os.getpid()}-{time.time_ns()}"
        self._lock = threading.RLock()
        self._open: list[str] = []
        self._work: dict[str, float] = {}
        self._totals: dict[str, _Total] = {}
        for line in read_lines(file):
            self._totals.setdefault(line["phase"], _Total()).add(line)
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
        """Every phase so far, over all attempts, in order of appearance."""
        with self._lock:
            return tuple(total.record(name) for name, total in self._totals.items())

    def _book(self, duration_s: float, joules: dict[str, float | None]) -> None:
        line = {
            "phase": self._open[-1] if self._open else UNATTRIBUTED,
            "attempt": self._attempt,
            "duration_s": duration_s,
            "energy_j": {c: _difference(joules.get(c), self._joules.get(c)) for c in COMPONENTS},
            "method": dict(self.source.methods),
            "work": self._work,
            "peak_memory_bytes": _peak_memory(),
        }
        self._totals.setdefault(str(line["phase"]), _Total()).add(line)
        if self._file is not None and self._lead:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


@contextmanager
def open_ledger(
    folder: Path,
    *,
    source: EnergySource | None = None,
    heartbeat_s: float = HEARTBEAT_S,
    budget_kwh: float | None = None,
) -> Iterator[Ledger]:
    """A ledger kept in ``folder/ledger.jsonl``, with codecarbon as its meter unless one is given.

    Only the lead process of a node meters and writes; others get a silent ledger.
    """
    if not _is_lead():
        yield Ledger()
        return
    folder.mkdir(parents=True, exist_ok=True)
    meter = source or _default_source()
    ledger = Ledger(
        meter,
        synchronize=_synchronize_gpus,
        file=folder / "ledger.jsonl",
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


def _is_lead() -> bool:
    """One process a node meters, or every rank would bill the whole node."""
    local = [os.environ[v] for v in ("LOCAL_RANK", "SLURM_LOCALID") if v in os.environ]
    return all(rank == "0" for rank in local)


def read_lines(file: Path | None) -> Sequence[dict[str, Any]]:
    """Increments of a ledger file, in order; a line that a kill cut in half is left out."""
    if file is None or not file.is_file():
        return []
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines():
        with suppress(json.JSONDecodeError):  # the line that a kill cut in half
            lines.append(json.loads(text))
    return lines


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def _peak_memory() -> dict[str, int | None]:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch = sys.modules.get("torch")
    device: int | None = None
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        device = int(torch.cuda.max_memory_allocated())
    return {"host": peak * (1 if sys.platform == "darwin" else 1024), "device": device}


def _synchronize_gpus() -> None:
    """Wait for queued kernels, or they would be billed to the next phase."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            torch.cuda.synchronize(index)
