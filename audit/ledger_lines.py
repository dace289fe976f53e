"""Lines of ``ledger.jsonl``: how they are read, and how they add up to one record a phase.

Every process writes a file of its own, so that two never write at once: the first process
``ledger.jsonl``, rank k ``ledger.rankK.jsonl`` beside it. Time comes from the first process only,
energy from one process a node, work from all.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.result import PhaseRecord

J_PER_KWH = 3.6e6
SAMPLES = ".samples"  # in a folder of samples: what is not a volume, such as their ledger
METHODS = ("counter", "power_sensor", "load_model", "constant", "missing")

Line = dict[str, Any]


@dataclass
class Total:
    """Running sums of one phase."""

    duration_s: float = 0.0
    energy_j: dict[str, float | None] = field(default_factory=dict)
    method: dict[str, str] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: dict[str, int | None] = field(default_factory=dict)
    attempts: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)

    def add(self, line: Line) -> None:
        """Add one increment; what is missing once is missing in the sum."""
        self.duration_s += line["duration_s"]
        for component, joules in line["energy_j"].items():
            known = self.energy_j.get(component, 0.0)
            self.energy_j[component] = None if joules is None or known is None else known + joules
        for component, method in line["method"].items():
            self.method[component] = _worse(self.method.get(component, method), method)
        for name, amount in line["work"].items():
            self.work[name] = self.work.get(name, 0.0) + amount
        for place, peak in line["peak_memory_bytes"].items():
            known_peak = self.peak_memory_bytes.get(place)
            peaks = [p for p in (peak, known_peak) if p is not None]
            self.peak_memory_bytes[place] = max(peaks) if peaks else None
        if line.get("rank", 0) == 0:
            self.attempts.add(line["attempt"])
        if line["energy_j"] and line.get("host"):
            self.hosts.add(line["host"])

    def record(self, phase: str) -> PhaseRecord:
        """The sums as they are kept in result.json."""
        return PhaseRecord(
            phase=phase,
            duration_s=self.duration_s,
            energy_kwh={c: None if j is None else j / J_PER_KWH for c, j in self.energy_j.items()},
            method=self.method,
            work=self.work,
            peak_memory_bytes=self.peak_memory_bytes,
            attempts=len(self.attempts),
            hosts=tuple(sorted(self.hosts)),
        )


def fold(lines: Iterable[Line]) -> dict[str, Total]:
    """Sums by phase, in order of appearance."""
    totals: dict[str, Total] = {}
    for line in lines:
        totals.setdefault(line["phase"], Total()).add(line)
    return totals


def read_lines(file: Path | None) -> Sequence[Line]:
    """Increments of one process's file, in order; a line that a kill cut in half is left out."""
    if file is None or not file.is_file():
        return []
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines():
        with suppress(json.JSONDecodeError):  # the line that a kill cut in half
            lines.append(json.loads(text))
    return lines


def file_of_rank(folder: Path, rank: int) -> Path:
    """Where process ``rank`` writes."""
    return folder / ("ledger.jsonl" if rank == 0 else f"ledger.rank{rank}.jsonl")


def read_others(file: Path | None) -> list[Line]:
    """Increments of the other processes of a run, from the files beside the first one's."""
    if file is None:
        return []
    others = sorted(set(file.parent.glob("ledger*.jsonl")) - {file})
    return [line for other in others for line in read_lines(other)]


def _worse(one: str, other: str) -> str:
    """The less trustworthy of two ways: a sum is as good as its worst part."""
    return max(one, other, key=lambda method: METHODS.index(method.partition(":")[0]))


def read_all(file: Path) -> list[Line]:
    """Increments of all processes of a run, the first process's before the others'."""
    return [*read_lines(file), *read_others(file)]
