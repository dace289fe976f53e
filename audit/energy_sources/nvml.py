"""NVIDIA's cumulative energy counters, read directly: whole boards, in mJ."""

from typing import Any

from audit.errors import NotComputable


class NvmlSource:
    """Joules of the GPUs; CPU and RAM are missing here.

    Attributes:
        methods: ``counter`` for the GPU.
    """

    def __init__(self, indices: tuple[int, ...] | None = None) -> None:
        """Open the counters of some GPUs, or of all.

        Raises:
            NotComputable: No driver, no GPU, or a GPU without a counter.
        """
        import pynvml

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            chosen = indices if indices is not None else range(pynvml.nvmlDeviceGetCount())
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in chosen]
            for handle in self._handles:
                pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            raise NotComputable(
                f"the GPU's energy counter cannot be read ({error})", "an NVIDIA GPU since Volta"
            ) from error
        if not self._handles:
            raise NotComputable("no NVIDIA GPU", "at least one")
        self.methods = {
            "cpu": "missing: NVML sees GPUs only",
            "gpu": "counter",
            "ram": "missing: NVML sees GPUs only",
        }

    def read_j(self) -> dict[str, float | None]:
        """Sum over the GPUs."""
        millijoules = sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(h) for h in self._handles)
        return {"cpu": None, "gpu": millijoules / 1000, "ram": None}

    def close(self) -> None:
        """Release the driver."""
        self._nvml.nvmlShutdown()
