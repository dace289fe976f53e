"""Largest memory since the last look, of the process and of its GPUs.

Each look starts a new peak, so that a phase is not billed for what ran before it. Where the host's
peak cannot be started anew (no Linux), it is the largest since the process began.
"""

import resource
import sys
from contextlib import suppress
from pathlib import Path

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc_pid_clear_refs(5)


def peaks_since_last_look() -> dict[str, int | None]:
    """Peak bytes by ``host`` and ``device`` (the fullest GPU; None without one)."""
    return {"host": _host(), "device": _device()}


def _host() -> int:
    try:
        text = STATUS.read_text(encoding="utf-8")
        peak = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest * (1 if sys.platform == "darwin" else 1024)
    with suppress(OSError):
        RESET.write_text(RESET_PEAK)
    return int(peak.split()[1]) * 1024


def _device() -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    peaks = []
    for index in range(torch.cuda.device_count()):
        peaks.append(int(torch.cuda.max_memory_allocated(index)))
        torch.cuda.reset_peak_memory_stats(index)
    return max(peaks)
