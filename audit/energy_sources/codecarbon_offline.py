"""codecarbon's offline tracker as a source of cumulative joules; its only import in the project.

codecarbon is driven by tasks only, because mixing ``start()`` with tasks drops energy; each
reading closes the running task and opens the next, so that a counter which wraps during a long
phase loses nothing as long as readings come every minute. Its carbon figures are not used: energy
is kept, and carbon is computed from it later.

No network: the tracker is the offline one, and its configuration layer (environment variables and
``.codecarbon.config`` files, which can turn network output on) is emptied before it is built.
"""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from audit.energy_sources import COMPONENTS

J_PER_KWH = 3.6e6


class CodecarbonSource:
    """Joules of CPU, GPU and RAM by codecarbon 3.3.2.

    Attributes:
        methods: How each component was obtained, read from the tracker's hardware list.
    """

    def __init__(self) -> None:
        self.tracking_mode = "process" if _shares_the_machine() else "machine"
        _close_configuration()
        import codecarbon.emissions_tracker as tracker_module

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        tracker_module.get_hierarchical_config = dict
        self._tracker: Any = tracker_module.OfflineEmissionsTracker(
            country_iso_code="DEU",  # any valid code: only energy is read
            output_methods=[],
            emissions_endpoint=None,
            electricitymaps_api_token=None,
            pue=1.0,
            tracking_mode=self.tracking_mode,
            log_level="critical",
            allow_multiple_runs=True,
        )
        self._sum_j: dict[str, float | None] = dict.fromkeys(COMPONENTS, 0.0)
        self._task = ""
        self._count = 0
        self._open_task()
        self.methods = _methods(self._tracker)
        for component, method in self.methods.items():
            if method.startswith("missing"):
                self._sum_j[component] = None

    def read_j(self) -> dict[str, float | None]:
        """Close the running task, add its energy, open the next."""
        data = self._tracker.stop_task(self._task)
        self._tracker._tasks.pop(self._task, None)  # it would keep every task for ever
        if data is None:  # it swallows its errors; a run of days must not die of one
            self.methods = dict.fromkeys(
                COMPONENTS, "missing: codecarbon gave no energy for a task"
            )
            self._sum_j = dict.fromkeys(COMPONENTS)
        for component, total in self._sum_j.items():
            if total is not None:
                joules = float(getattr(data, f"{component}_energy")) * J_PER_KWH
                self._sum_j[component] = total + max(joules, 0.0)
        self._open_task()
        return dict(self._sum_j)

    def close(self) -> None:
        """Stop the tracker and its threads."""
        self._tracker.stop_task(self._task)
        self._tracker.stop()

    def _open_task(self) -> None:
        self._count += 1
        self._task = f"span{self._count}"
        self._tracker.start_task(self._task)


def _close_configuration() -> None:
    """Remove what could switch network output on, before codecarbon reads it."""
    for name in [n for n in os.environ if n.lower().startswith("codecarbon_")]:
        del os.environ[name]
    os.environ["CODECARBON_LOG_LEVEL"] = "critical"
    os.environ["CODECARBON_TELEMETRY"] = "disabled"
    if "SLURM_JOB_ID" in os.environ and shutil.which("scontrol") is None:
        # In a container it would ask scontrol for the memory of the job, and fail.
        for name in ("SLURM_JOB_ID", "SLURM_JOBID"):
            os.environ.pop(name, None)


def _shares_the_machine() -> bool:
    """Whether others' load would be billed to us: a container, or a SLURM job."""
    marks = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
    return any(m in os.environ for m in marks) or Path("/.dockerenv").exists()


def _methods(tracker: Any) -> dict[str, str]:
    """How codecarbon obtained each component; it says so nowhere but in private attributes."""
    methods = {
        "cpu": "missing: codecarbon found no CPU model",
        "gpu": "missing: no GPU on this machine",
        "ram": "missing: codecarbon has no RAM model here",
    }
    for hardware in getattr(tracker, "_hardware", []):
        kind = type(hardware).__name__
        if kind == "CPU":
            mode = getattr(hardware, "_mode", "")
            methods["cpu"] = {
                "intel_rapl": "counter",
                "intel_power_gadget": "counter",
                "windows_emi": "counter",
                "cpu_load": "load_model",
            }.get(mode, "constant")
        elif kind == "GPU":
            devices = getattr(hardware.devices, "devices", [])
            counted = devices and all(getattr(d, "_has_counter", True) for d in devices)
            methods["gpu"] = "counter" if counted else "power_sensor"
        elif kind in ("AppleSiliconChip", "Raspberry"):
            part = str(getattr(hardware, "chip_part", "CPU")).lower()
            methods[part] = "power_sensor"
        elif kind == "RAM":
            methods["ram"] = "constant"
    return methods
