"""What machine this is, as far as energy goes: no host name, no user, no address.

Energy per volume is compared between runs of one machine only: another board, another power
limit or another driver changes it although the generator is the same.
"""

import hashlib
import json
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

GIB = 2**30


@cache
def describe_host() -> dict[str, Any]:
    """Processor, cores, memory and NVIDIA boards with their driver and power limit in W."""
    import psutil

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / GIB),
        **_nvidia(),
    }


def host_key(host: dict[str, Any] | None = None) -> str:
    """Short hash of a description; equal keys mean that energies may be compared."""
    described = describe_host() if host is None else host
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _nvidia() -> dict[str, Any]:
    """Boards, driver and power limits; empty lists where there is no NVIDIA driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            boards = [
                pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())
            ]
            return {
                "gpus": [_text(pynvml.nvmlDeviceGetName(b)) for b in boards],
                "power_limits_w": [
                    round(pynvml.nvmlDeviceGetEnforcedPowerLimit(b) / 1000) for b in boards
                ],
                "driver": _text(pynvml.nvmlSystemGetDriverVersion()),
            }
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # noqa: BLE001 - any driver fault means the same: no board to describe
        return {"gpus": [], "power_limits_w": [], "driver": ""}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
