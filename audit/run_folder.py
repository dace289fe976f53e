"""What lies in a run folder, and how it is written.

::

    result.json   cases.csv   report.html      what may be shared
    exemplars/NNN.npz  .../pairs/  .../worst/  synthetic volumes that the report draws
    parts/METRIC.json                          findings as they were measured, for resuming
    private/                                   real volumes and patient links: never share it
    errors/METRIC.txt                          tracebacks
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.comparison import Comparison
from audit.errors import BadInput
from audit.pseudonym import pseudonym
from audit.result import Finding, write_bytes, write_text
from audit.volume import LabelMap

if TYPE_CHECKING:
    import pandas as pd

EXEMPLARS = 12
CLOSEST = 8
WORST = 6
PRIVATE_NOTE = "Holds images of real patients and links to them. Never share this folder.\n"


def prepare(folder: Path) -> None:
    """Make a run folder.

    Raises:
        BadInput: The path is a file or cannot be written.
    """
    try:
        (folder / "private").mkdir(parents=True, exist_ok=True)
        write_text(folder / "private" / "PRIVATE.txt", PRIVATE_NOTE)
    except OSError as error:
        raise BadInput(
            f"cannot write the run folder ({error.strerror})", "a writable folder", "Change --out"
        ) from error


def read_part(
    folder: Path | None, name: str, key: str
) -> tuple[list[Finding], "pd.DataFrame | None"] | None:
    """Findings of a metric measured before on the same inputs, or None."""
    file = folder / "parts" / f"{name}.json" if folder is not None else None
    if file is None or not file.is_file():
        return None
    import pandas as pd

    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["key"] != key:
            return None
        findings = [Finding.model_validate(f) for f in stored["findings"]]
    except (ValueError, KeyError):
        return None
    return findings, pd.DataFrame(stored["cases"]) if stored["cases"] else None


def write_part(
    folder: Path | None,
    name: str,
    key: str,
    findings: Sequence[Finding],
    cases: "pd.DataFrame | None",
) -> None:
    """Keep the findings of a metric, so that a repeated command need not measure it again."""
    if folder is None:
        return
    record = {
        "key": key,
        "findings": [f.model_dump() for f in findings],
        "cases": json.loads(cases.to_json(orient="records", double_precision=15))
        if cases is not None
        else None,
    }
    write_text(folder / "parts" / f"{name}.json", json.dumps(record))


def write_failure(folder: Path | None, name: str, text: str) -> None:
    """Keep the traceback of a metric that failed."""
    if folder is not None:
        write_text(folder / "errors" / f"{name}.txt", text)


def join_cases(tables: Sequence["pd.DataFrame"]) -> "pd.DataFrame":
    """One row per role and id from tables with different value columns."""
    import pandas as pd

    stacked = pd.concat([t.set_index(["role", "id"]) for t in tables])
    joined = stacked.groupby(level=[0, 1], sort=False).first()
    # The copy is one block a type: with hundreds of columns that are not floats, pandas warns of a
    # fragmented frame where the index comes back as columns.
    return joined.copy().reset_index()


def write_cases(folder: Path, tables: Sequence["pd.DataFrame"], comparison: Comparison) -> None:
    """Write cases.csv: every case of every role, real ones under their pseudonym.

    Where synthetic cases followed a requested mask, ``condition`` says which one, so that two runs
    compare in pairs. A mask is somebody's anatomy: its id is a pseudonym too.
    """
    import pandas as pd

    index = pd.DataFrame(
        [
            {"id": public_id(role, s.id), "role": role, "group": s.group or ""}
            | {"condition": pseudonym(s.condition) if s.condition else ""}
            for role in ("train", "holdout", "synthetic")
            for s in comparison.cohort_or_empty(role).sources
        ]
    )
    if not index["condition"].any():
        index = index.drop(columns="condition")
    merged = index.merge(join_cases(tables), on=["role", "id"], how="left") if tables else index
    write_text(folder / "cases.csv", merged.to_csv(index=False))


def public_id(role: str, case_id: str) -> str:
    """A synthetic id as it is, a real one as its pseudonym."""
    return case_id if role == "synthetic" else pseudonym(case_id)


def write_exemplars(folder: Path, comparison: Comparison) -> None:
    """Write the volumes that reports draw: synthetic to exemplars/, real to private/exemplars/.

    A few of each role, spread evenly over the cohort; and, apart from them, those that the
    memorization audit finds closest to each other (``pairs/``) and those that follow their mask
    least (``worst/``; with the mask they were asked for in private, for it is a patient's).
    """
    closest = _closest(folder)
    _write_worst(folder, comparison)
    for role in ("synthetic", "train", "holdout"):
        target = folder / ("exemplars" if role == "synthetic" else "private/exemplars")
        cohort = comparison.cohort_or_empty(role)
        picks = np.unique(np.linspace(0, len(cohort) - 1, min(EXEMPLARS, len(cohort))).astype(int))
        prefix = "" if role == "synthetic" else f"{role}-"
        for position, i in enumerate(picks):
            _write_exemplar(target / f"{prefix}{position:03d}.npz", int(i), role, comparison)
        places = {public_id(role, name): i for i, name in enumerate(cohort.ids)}
        for position, name in enumerate(n for n in closest.get(role, ()) if n in places):
            file = target / "pairs" / f"{prefix}{position:03d}.npz"
            _write_exemplar(file, places[name], role, comparison)


def _closest(folder: Path) -> dict[str, list[str]]:
    """Public ids by role of the closest pairs, as the memorization audit left them."""
    import pandas as pd

    found: dict[str, list[str]] = {}
    file = folder / "private" / "pairs.csv"
    if file.is_file():
        best = pd.read_csv(file, dtype={"synthetic": str, "train": str})
        best = best.sort_values("similarity", ascending=False).drop_duplicates("synthetic")
        best = best.head(CLOSEST)
        found = {"synthetic": best["synthetic"].tolist(), "train": best["train"].tolist()}
    cases = pd.read_csv(folder / "cases.csv", dtype={"id": str})
    if "memorization.similarity" in cases.columns:
        rows = cases[cases["role"] == "synthetic"].nlargest(CLOSEST, "memorization.similarity")
        found["synthetic"] = [*found.get("synthetic", []), *rows["id"]]
    return {role: list(dict.fromkeys(names)) for role, names in found.items()}


def _write_worst(folder: Path, comparison: Comparison) -> None:
    import pandas as pd

    cases = pd.read_csv(folder / "cases.csv", dtype={"id": str})
    columns = [c for c in cases.columns if c.startswith("adherence.dice.")]
    if not columns or comparison.conditions is None:
        return
    made = cases[cases["role"] == "synthetic"]
    made = made.assign(worst=made[columns].min(axis=1)).nsmallest(WORST, "worst")
    places = {name: i for i, name in enumerate(comparison.synthetic.ids)}
    asked = {name: i for i, name in enumerate(comparison.conditions.ids)}
    for position, name in enumerate(n for n in made["id"] if n in places):
        place = places[name]
        file = folder / "exemplars" / "worst" / f"{position:03d}.npz"
        _write_exemplar(file, place, "synthetic", comparison)
        condition = comparison.synthetic.conditions[place]
        if condition in asked:
            mask = comparison.conditions[asked[condition]].labels
            file = folder / "private" / "exemplars" / "worst" / file.name
            _write_exemplar(file, place, "synthetic", comparison, labels=mask)


def _write_exemplar(
    file: Path, place: int, role: str, comparison: Comparison, *, labels: LabelMap | None = None
) -> None:
    """One volume, with its own labels or these; those of an earlier call stay where it has none."""
    case = comparison.cohort(role)[place]
    image = comparison.preprocessing(case.image)[0]
    arrays: dict[str, Any] = {
        "image": np.round((image + 1) * 127.5).astype(np.uint8),
        "spacing_mm": np.array(comparison.preprocessing.spacing_mm),
        "id": np.array(public_id(role, case.id)),
        "role": np.array(role),
    }
    if case.image.frame_ms is not None:
        arrays["frame_ms"] = np.array(case.image.frame_ms)
    labels = labels or case.labels or _segmented(comparison, role, place)
    if labels is not None and labels.array.shape == image.shape:
        arrays["labels"] = labels.array
        arrays["label_names"] = np.array(json.dumps(dict(labels.names)))
    elif _kept_with_labels(file, arrays["image"]):
        return
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(file, buffer.getvalue())


def _segmented(comparison: Comparison, role: str, place: int) -> LabelMap | None:
    """What a segmenter said of the case, where a metric has asked it; no picture trains one."""
    labels = comparison.known_labels()
    found = labels.maps[role][place] if labels is not None and role in labels.maps else None
    return found if isinstance(found, LabelMap) else None


def _kept_with_labels(file: Path, image: npt.NDArray[np.uint8]) -> bool:
    if not file.is_file():
        return False
    with np.load(file, allow_pickle=False) as stored:
        return "labels" in stored.files and np.array_equal(stored["image"], image)
