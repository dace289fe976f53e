"""Which folder a user means by a run: the folder, its result, ``runs/latest`` or a run's name."""

from pathlib import Path

from audit.errors import BadInput


def find_run(path: str | Path) -> Path:
    """Run folder behind a path.

    Args:
        path: A run folder, its ``result.json``, a pointer file such as ``runs/latest``, which
            holds the path of a run folder, or any of these relative to ``runs/``: ``latest``,
            ``thorax/ldm``.

    Raises:
        BadInput: The pointer leads nowhere.
    """
    place = Path(path)
    if not place.exists() and (Path("runs") / place).exists():
        place = Path("runs") / place
    if place.is_dir() or not place.is_file():
        return place
    if place.suffix == ".json":
        return place.parent
    target = Path(place.read_text(encoding="utf-8", errors="replace").strip())
    if not target.is_dir():
        raise BadInput(
            f"'{place.name}' points to no run folder", "one that exists", "Name the run folder"
        )
    return target
