"""Whose volume it is, where only a file name says so."""

import re

NAMED = re.compile(r"^(sub-[A-Za-z0-9]+|(?:patient|subject|subj)[-_]?\d+)(?![A-Za-z0-9])", re.I)


def subject_in(name: str) -> str | None:
    """``sub-01`` of ``sub-01_ses-2_T1w``, ``patient001`` of ``patient001_frame01``; else None."""
    found = NAMED.match(name)
    return found.group(1) if found else None
