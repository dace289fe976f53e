"""Replay of a recorded or invented power trace: energy without a meter, exact by construction."""

from collections.abc import Callable, Sequence

import numpy as np


class TraceSource:
    """Joules from piecewise-constant watts.

    Attributes:
        methods: ``power_sensor`` for each component of the trace.
    """

    def __init__(
        self,
        times_s: Sequence[float],
        watts: dict[str, Sequence[float]],
        clock: Callable[[], float],
    ) -> None:
        """Take a trace: ``watts[c][i]`` holds from ``times_s[i]`` on, the last one for ever.

        Args:
            times_s: Rising times in s, on the clock's axis.
            watts: Power by component, one per time.
            clock: Tells the present time.
        """
        self._times = np.asarray(times_s, dtype=np.float64)
        self._watts = {c: np.asarray(w, dtype=np.float64) for c, w in watts.items()}
        self._clock = clock
        self.methods = {
            c: "power_sensor" if c in watts else "missing: not in the trace"
            for c in ("cpu", "gpu", "ram")
        }

    def read_j(self) -> dict[str, float | None]:
        """Integral of the trace up to now."""
        now = self._clock()
        ends = np.append(self._times[1:], np.inf)
        seconds = np.clip(np.minimum(ends, now) - self._times, 0.0, None)
        return {
            c: float(self._watts[c] @ seconds) if c in self._watts else None for c in self.methods
        }

    def close(self) -> None:
        """Nothing to release."""
