"""How commands are mounted, and how every error ends: one line on stderr and its exit code."""

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

import typer

from audit.errors import AuditError

JsonFlag = typer.Option(False, "--json", help="Print JSON instead of a table.")


def mount(app: typer.Typer, package: str) -> None:
    """Register every command module of a package, such as ``audit.commands``."""
    folder = importlib.import_module(package)
    for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda m: m.name):
        importlib.import_module(f"{package}.{module.name}").register(app)


def guarded(command: Callable[[], Any]) -> int:
    """Run a command line; turn deliberate errors into one line and their exit code."""
    try:
        outcome = command()
    except AuditError as error:
        sys.stderr.write(" ".join(f"voxaudit: {error}".split()) + "\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("voxaudit: interrupted. Run the same command again to resume.\n")
        return 130
    return outcome if isinstance(outcome, int) else 0


def print_json(data: Any) -> None:
    """Print machine-readable output on stdout."""
    print(json.dumps(data, indent=1, sort_keys=True, default=str, allow_nan=False))


def print_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print rows as an aligned plain-text table."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [
        max(len(column), *(len(line[i]) for line in cells)) if cells else len(column)
        for i, column in enumerate(columns)
    ]
    for line in [columns, *cells]:
        print(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
