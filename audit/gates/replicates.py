"""Replicates of a run: the same generator and audit with other sampling seeds.

They lie under the run, in ``replicates/seed-N``. ``replicates/current.json`` names those that are
of the run as it is now; older ones are never mistaken for them.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from audit.errors import BadInput
from audit.result import AuditResult, load_result, write_text

FOLDER = "replicates"


def list_replicates(run: Path, replicates: Sequence[Path]) -> None:
    """Say which folders are the run's replicates; none removes what was said before."""
    file = run / FOLDER / "current.json"
    if replicates or file.is_file():
        write_text(file, json.dumps([place.name for place in replicates]))


def replicates_of(run: Path) -> list[AuditResult]:
    """The results of a run's replicates, in order; empty where it has none.

    Raises:
        BadInput: The list cannot be read, or a replicate is missing.
    """
    file = run / FOLDER / "current.json"
    if not file.is_file():
        return []
    try:
        names = [str(name) for name in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise BadInput(f"{file.name} is not a list", "what `voxaudit run` wrote") from error
    return [load_result(run / FOLDER / Path(name).name) for name in names]
