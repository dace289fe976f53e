"""The curve of copies against training time: samples of several moments of one training, audited.

Each moment has a run of its own under ``RUN/checkpoints/NAME``; ``RUN/curve.csv`` gathers them.
A copy rate that climbs while the distance to real cases no longer falls is over-training.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.errors import BadInput
from audit.ledger import open_ledger
from audit.progress import say
from audit.result import AuditResult, Finding, write_text
from audit.scoring import score

CURVE = ("memorization.copy_rate", "memorization.similarity_rate", "fidelity.kernel_distance")
FOLDER = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A generator as it was at one step of its training.

    Attributes:
        name: Folder of its samples or its run.
        step: Optimizer steps done.
        about: Further columns of the curve, such as ``passes`` and ``train_s``.
    """

    name: str
    step: int
    about: Mapping[str, float] = field(default_factory=dict)


def score_moments(samples: Path, *, out: Path, **settings: Any) -> Path:
    """Audit each cohort of a folder as a run of its own; a repeated call measures what is missing.

    Args:
        samples: Folder of cohorts that are named by their training step, such as ``step-000500``.
        out: Run folder that the curve belongs to.
        **settings: Further arguments of ``audit.score``: ``train``, ``holdout``, ...

    Returns:
        As ``write_curve``.

    Raises:
        BadInput: As ``sampled_moments`` and ``audit.score``.
    """
    runs = []
    for moment in sampled_moments(samples):
        say(f"checkpoint {moment.name}")
        folder = out / FOLDER / moment.name
        with open_ledger(folder) as ledger:
            result = score(
                synthetic=samples / moment.name, only=CURVE, out=folder, ledger=ledger, **settings
            )
        runs.append((moment, result))
    return write_curve(runs, out)


def sampled_moments(samples: Path) -> list[Moment]:
    """The moments that a folder of cohorts holds, by step.

    Raises:
        BadInput: Fewer than two, or a name without a number.
    """
    places = samples.iterdir() if samples.is_dir() else ()
    names = [p.name for p in places if p.is_dir() and not p.name.startswith(".")]
    if len(names) < 2:
        raise BadInput(
            f"{len(names)} cohorts under '{samples.name}'",
            "a folder of volumes for each of two or more training steps, such as step-000500",
            "`voxaudit sample MODEL --checkpoints --n 32 --out FOLDER` writes them",
        )
    return sorted((Moment(name=n, step=_step(n)) for n in names), key=lambda m: m.step)


def write_curve(runs: Sequence[tuple[Moment, AuditResult]], out: Path) -> Path:
    """Write ``curve.csv``: a row for each moment and finding, in the order given."""
    import pandas as pd

    rows = [_row(moment, finding) for moment, result in runs for finding in result.findings]
    text = io.StringIO()
    pd.DataFrame(rows).to_csv(text, index=False, lineterminator="\n")
    write_text(out / "curve.csv", text.getvalue())
    return out / "curve.csv"


def _row(moment: Moment, finding: Finding) -> dict[str, Any]:
    return {
        "checkpoint": moment.name,
        "step": moment.step,
        **moment.about,
        "metric": finding.metric,
        "value": finding.value,
        "low": finding.low,
        "high": finding.high,
        "real_vs_real": finding.reference.get("real_vs_real"),
        "p_value": finding.p_value,
        "n": finding.n,
        "verdict": finding.params.get("verdict", ""),
        "reason": finding.reason,
    }


def _step(name: str) -> int:
    numbers = re.findall(r"\d+", name)
    if not numbers:
        raise BadInput(f"'{name}' names no training step", "a number in it, such as step-000500")
    return int(numbers[-1])
