"""The CPU's own energy counters (RAPL) under /sys/class/powercap, where they are readable.

A package counter wraps every half hour under load: a reading is corrected for one wrap, and the
ledger's heartbeat keeps readings close enough for that.
"""

from pathlib import Path

from audit.errors import NotComputable

POWERCAP = Path("/sys/class/powercap")


class RaplSource:
    """Joules of the CPU packages; GPU and RAM are missing here.

    Attributes:
        methods: ``counter`` for the CPU.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        """Find the packages.

        Raises:
            NotComputable: There is none, or it may not be read.
        """
        self._files = sorted(root.glob("*rapl:[0-9]*/energy_uj"))
        self._files = [f for f in self._files if f.parent.name.count(":") == 1]
        try:
            self._ranges = [
                int((f.parent / "max_energy_range_uj").read_text()) for f in self._files
            ]
            self._last = [int(f.read_text()) for f in self._files]
        except OSError as error:
            raise NotComputable(
                "RAPL may not be read", "permission", "sudo chmod -R a+r /sys/class/powercap"
            ) from error
        if not self._files:
            raise NotComputable("this machine has no RAPL", "an Intel or AMD CPU, no VM")
        self._sum_uj = 0
        self.methods = {
            "cpu": "counter",
            "gpu": "missing: RAPL sees the CPU only",
            "ram": "missing: RAPL package domains leave it out",
        }

    def read_j(self) -> dict[str, float | None]:
        """Sum over the packages since the source was opened."""
        for i, file in enumerate(self._files):
            now = int(file.read_text())
            self._sum_uj += (now - self._last[i]) % self._ranges[i]
            self._last[i] = now
        return {"cpu": self._sum_uj / 1e6, "gpu": None, "ram": None}

    def close(self) -> None:
        """Nothing to release."""
