"""Samples on disk: compressed NIfTI and ``cohort.csv``, written while the next batch is denoised.

Every file appears whole or not at all, so a killed run continues with the samples that are missing.
Processes under ``torchrun`` take every k-th sample; which process made it changes nothing.
"""

import csv
import io
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from audit.cache import key_of
from audit.cohort import Case, Cohort
from audit.errors import BadInput, RunBroken
from audit.ledger import Ledger
from audit.progress import track
from audit.pseudonym import pseudonym
from audit.result import write_text
from audit.volume import write_volume
from generators.protocol import VolumeGenerator

COLUMNS = ("id", "subject", "image", "condition", "group")
WAIT_S = 3600.0


def sample_to_folder(
    generator: VolumeGenerator,
    n: int,
    folder: str | Path,
    *,
    seed: int,
    conditions: Cohort | None = None,
    ledger: Ledger | None = None,
    writers: int = 2,
    shard: tuple[int, int] | None = None,
    **changes: Any,
) -> Path:
    """Write n samples; samples that are already there are not made again.

    Args:
        generator: Fitted or loaded.
        n: Samples. A larger n later adds to the same folder.
        folder: Where to.
        seed: Sample i depends on ``seed`` and i only.
        conditions: Requested masks; sample i follows condition i modulo their number.
        ledger: Where ``sampling`` and ``decoding`` are booked.
        writers: Threads that compress and write.
        shard: (rank, number of processes); what ``torchrun`` says where not given.
        changes: Sampler settings in place of the recipe's, such as ``steps=20``.

    Returns:
        The manifest ``cohort.csv``.

    Raises:
        BadInput: The folder holds samples made otherwise.
    """
    place = Path(folder)
    rank, world = shard or _torchrun()
    _claim(place, _identity(generator, seed, conditions, changes))
    mine = [i for i in range(n) if i % world == rank and not _row_file(place, i).is_file()]
    cases = generator.sample(
        n,
        seed=seed,
        conditions=conditions,
        **({"indices": mine, "ledger": ledger or Ledger(), **changes}),
    )
    if mine:
        _write_all(cases, mine, place, writers)
    if rank == 0:
        _wait_for(place, n)
        return _write_manifest(place, n)
    return place / "cohort.csv"


def _write_all(cases: Iterator[Case], indices: list[int], place: Path, writers: int) -> None:
    """Hand cases to writer threads; at most two per thread wait, so memory stays bounded."""
    pending: list[Future[None]] = []
    with ThreadPoolExecutor(writers) as pool:
        for index, case in zip(track(indices, "sampling"), cases, strict=True):
            pending.append(pool.submit(_write_one, case, index, place))
            while len(pending) > 2 * writers:
                pending.pop(0).result()
        for future in pending:
            future.result()


def _write_one(case: Case, index: int, place: Path) -> None:
    """The volume first, then its row: a row stands for a complete sample.

    A requested mask is somebody's anatomy: it is named by its pseudonym, which audits of the same
    user resolve.
    """
    image = f"{index:05d}.nii.gz"
    write_volume(case.image, place / image)
    row = {
        "id": case.id,
        "subject": case.subject,
        "image": image,
        "condition": pseudonym(case.condition) if case.condition else "",
        "group": case.group or "",
    }
    write_text(_row_file(place, index), json.dumps(row))


def _row_file(place: Path, index: int) -> Path:
    return place / ".samples" / f"{index:05d}.json"


def _write_manifest(place: Path, n: int) -> Path:
    rows = [json.loads(_row_file(place, i).read_text(encoding="utf-8")) for i in range(n)]
    used = [c for c in COLUMNS if any(row[c] for row in rows)]
    table = io.StringIO()
    writer = csv.DictWriter(table, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(place / "cohort.csv", table.getvalue())
    return place / "cohort.csv"


def _identity(
    generator: VolumeGenerator, seed: int, conditions: Cohort | None, changes: dict[str, Any]
) -> str:
    """Hash of all that decides a sample."""
    described = getattr(generator, "identity", None)
    return key_of(
        generator=described() if described is not None else type(generator).__name__,
        seed=seed,
        conditions=conditions.hash if conditions is not None else None,
        changes={k: v for k, v in changes.items() if k not in {"batch_size", "memory_gb"}},
    )


def _claim(place: Path, identity: str) -> None:
    """Say whose samples the folder holds; one without samples, after a refused call, is free."""
    file = place / ".samples" / "identity"
    if not file.is_file() or not any(file.parent.glob("*.json")):
        write_text(file, identity)
    elif file.read_text(encoding="utf-8") != identity:
        raise BadInput(
            f"'{place.name}' holds samples of another generator, seed, condition or setting",
            "an empty folder or the same settings",
            "Choose another --out",
        )


def _torchrun() -> tuple[int, int]:
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _wait_for(place: Path, n: int) -> None:
    """Wait for the samples of the other processes."""
    deadline = time.monotonic() + WAIT_S
    while missing := sum(not _row_file(place, i).is_file() for i in range(n)):
        if time.monotonic() > deadline:
            raise RunBroken(
                f"{missing} of {n} samples are missing after an hour",
                "the other processes to finish",
                "Run the same command again: it makes only what is missing",
            )
        time.sleep(0.2)
