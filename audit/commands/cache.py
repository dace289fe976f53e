"""``voxaudit cache``: what the cache holds of patients, and how to be rid of it."""

from pathlib import Path

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Embeddings and encoder weights derived from patients. Never share them.",
    )
    group.command("ls")(ls)
    group.command("purge")(purge)
    app.add_typer(group, name="cache")


def ls(as_json: bool = JsonFlag) -> None:
    """Number and size of entries by kind."""
    from audit.cache import default_cache

    rows = [
        {"kind": kind, "entries": len(files), "bytes": sum(f.stat().st_size for f in files)}
        for kind, files in sorted(_entries(default_cache().root).items())
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["kind", "entries", "bytes"])


def purge(
    yes: bool = typer.Option(False, "--yes", help="Do not ask."), as_json: bool = JsonFlag
) -> None:
    """Delete every entry; the next audit computes them again."""
    from audit.cache import default_cache

    root = default_cache().root
    files = [file for kind in _entries(root).values() for file in kind]
    if files and not yes:
        typer.confirm(f"Delete {len(files)} entries?", abort=True)
    for file in files:
        file.unlink(missing_ok=True)
        if not any(file.parent.iterdir()):
            file.parent.rmdir()
    if as_json:
        print_json({"deleted": len(files)})
    else:
        print_table([{"deleted": len(files)}], ["deleted"])


def _entries(root: Path) -> dict[str, list[Path]]:
    """Files by kind; only names that the cache itself gives (two hex digits / 64 and a suffix)."""
    kinds = {".npz": "arrays", ".safetensors": "weights", ".partial": "unfinished training"}
    found: dict[str, list[Path]] = {}
    for file in root.glob("[0-9a-f][0-9a-f]/*"):
        if file.is_file() and len(file.stem) == 64 and file.name[:2] == file.parent.name:
            found.setdefault(kinds.get(file.suffix, "other"), []).append(file)
    return found
