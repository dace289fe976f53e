"""No meter: time and work are booked, energy is missing and says so."""


class NoSource:
    """Reports every component as missing."""

    methods = dict.fromkeys(("cpu", "gpu", "ram"), "missing: no energy source was opened")

    def read_j(self) -> dict[str, float | None]:
        """All None."""
        return dict.fromkeys(self.methods)

    def close(self) -> None:
        """Nothing to release."""
