"""Embeddings on disk: memory-mapped float32 with ids, filled batch by batch.

For cohorts whose features do not fit in memory: ``audit.neighbors.top_k`` reads the mapped rows in
blocks. An interrupted run goes on where it stopped; several processes each fill their own batches.
Embeddings of patients are private: give pseudonyms as ids, and keep the folder out of what is
shared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.errors import BadInput, NotComputable
from audit.progress import track
from audit.result import Record, write_text

Embed = Callable[[range], npt.NDArray[np.float32]]


class Header(Record):
    """``store.json``.

    Attributes:
        key: Hash of what the rows depend on: encoder, preprocessing, ids.
        n: Rows.
        dim: Features of each.
    """

    key: str
    n: int
    dim: int


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """A complete store.

    Attributes:
        ids: Of the rows.
        rows: Memory-mapped, read-only (n, d).
    """

    ids: tuple[str, ...]
    rows: np.memmap[tuple[int, int], np.dtype[np.float32]]


def store_embeddings(
    folder: Path,
    ids: Sequence[str],
    embed: Embed,
    *,
    dim: int,
    key: str,
    batch: int = 256,
    shard: tuple[int, int] = (0, 1),
) -> None:
    """Fill a store; a repeated call makes only what is missing.

    Args:
        folder: Where it lies.
        ids: One a row, without line breaks.
        embed: Features (len, dim) of a range of rows.
        dim: Features of each row.
        key: Hash of encoder and preprocessing: another one is refused, not mixed in.
        batch: Rows per call of ``embed``.
        shard: Which of how many processes this is; RANK and WORLD_SIZE under ``torchrun``.

    Raises:
        BadInput: The folder holds embeddings of something else.
        NotComputable: A row is not finite.
    """
    header = Header(key=key_of(given=key, ids=list(ids)), n=len(ids), dim=dim)
    _prepare(folder, header, ids)
    rows = np.memmap(folder / "rows.f32", np.float32, "r+", shape=(header.n, dim))
    done = np.memmap(folder / "done.u8", np.uint8, "r+", shape=(header.n,))
    starts = range(batch * shard[0], header.n, batch * shard[1])
    for start in track(starts, "embeddings"):
        part = range(start, min(start + batch, header.n))
        if done[part.start : part.stop].all():
            continue
        made = np.asarray(embed(part), dtype=np.float32)
        if made.shape != (len(part), dim):
            raise BadInput(f"embeddings of shape {made.shape}", f"{(len(part), dim)}")
        if not np.isfinite(made).all():
            raise NotComputable("an embedding is not finite", "finite features")
        rows[part.start : part.stop] = made
        rows.flush()  # on disk before it is called done
        done[part.start : part.stop] = 1
        done.flush()


def open_embeddings(folder: Path) -> Embeddings:
    """Map a complete store.

    Raises:
        BadInput: There is none.
        NotComputable: Some rows have not been made yet.
    """
    header = _read_header(folder)
    if header is None:
        raise BadInput(f"no embeddings in '{folder.name}'", "a folder that store_embeddings filled")
    done = np.fromfile(folder / "done.u8", np.uint8)
    if missing := int(header.n - done.sum()):
        raise NotComputable(
            f"{missing} of {header.n} embeddings are missing", "all", "Repeat the interrupted run"
        )
    return Embeddings(
        ids=tuple((folder / "ids.txt").read_text(encoding="utf-8").split("\n")[: header.n]),
        rows=np.memmap(folder / "rows.f32", np.float32, "r", shape=(header.n, header.dim)),
    )


def _prepare(folder: Path, header: Header, ids: Sequence[str]) -> None:
    """Make the files at their full size; processes that do so at the same time do the same."""
    if not ids or any("\n" in name for name in ids):
        raise BadInput("no ids, or one with a line break", "one line a row")
    found = _read_header(folder)
    if found is not None and found != header:
        raise BadInput(
            f"'{folder.name}' holds {found.n} embeddings of other cases or another encoder",
            "an empty folder or the same run",
            "Choose another folder",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, size in (("rows.f32", 4 * header.n * header.dim), ("done.u8", header.n)):
        with (folder / name).open("ab") as file:
            file.truncate(size)
    if found is None:
        write_text(folder / "ids.txt", "\n".join(ids))
        write_text(folder / "store.json", header.model_dump_json())


def _read_header(folder: Path) -> Header | None:
    file = folder / "store.json"
    return Header.model_validate_json(file.read_bytes()) if file.is_file() else None
