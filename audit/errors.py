"""The error tree. Every message says what was observed, what was expected and how to fix it.

AuditError
├── BadInput            the user's files, flags or configuration; exit code 2
│   └── UnusableFile    one file that cannot be read as what it should be
├── NotComputable       a quantity that is undefined here, with the reason; never 0, -1 or NaN
├── NoDecision          too little evidence to judge; exit code 3
└── RunBroken           the run itself failed; exit code 4
"""

import difflib
from collections.abc import Iterable


class AuditError(Exception):
    """A deliberate error whose text is fit to be shown as one line.

    Attributes:
        exit_code: What the command line exits with when this error ends it.
    """

    exit_code = 4

    def __init__(self, observed: str, expected: str = "", remedy: str = "") -> None:
        first = observed.rstrip(".")
        if expected:
            word = "" if expected.startswith(("did you mean", "known:")) else "expected "
            first += f"; {word}{expected.rstrip('.')}"
        parts = [first, remedy.rstrip(".")] if remedy else [first]
        super().__init__(" ".join(p if p.endswith("?") else f"{p}." for p in parts))
        self.observed, self.expected, self.remedy = observed, expected, remedy

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """Pickle with all three parts, so that worker processes can raise it."""
        return type(self), (self.observed, self.expected, self.remedy)


class BadInput(AuditError):
    """Files, flags or configuration that cannot be used."""

    exit_code = 2


class UnusableFile(BadInput):
    """One file that cannot be read as what it should be."""


class NotComputable(AuditError):
    """A quantity that is undefined for this input.

    Attributes:
        reason: One sentence for the report; holds no path and no patient identifier.
    """

    exit_code = 3

    @property
    def reason(self) -> str:
        """The sentence to print in place of the number."""
        return str(self)


class NoDecision(AuditError):
    """Too little evidence to judge."""

    exit_code = 3


class RunBroken(AuditError):
    """The run itself failed; what was computed before is kept."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for a close match, else the list of what is known."""
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(options)}"
